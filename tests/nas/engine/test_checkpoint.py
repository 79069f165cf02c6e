import enum
import errno
import io
import os
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nas.engine import checkpoint
from nas.engine.checkpoint import Checkpointer
from nas.engine.rng import capture_rng
from nas.errors import ConfigError, NasError

OWNER = "abc123"
STATE: dict[str, Any] = {"weight": torch.arange(3.0), "epoch": 1}

tensors = st.builds(
    lambda values, dtype: torch.tensor(values).to(dtype),
    st.lists(st.integers(-100, 100), max_size=4),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.complex64]),
)
leaves = (
    tensors
    | st.none()
    | st.booleans()
    | st.integers(-(2**128), 2**128)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([torch.float16, torch.device("cpu")])
)
keys = st.text(max_size=5) | st.integers() | st.tuples(st.integers(), st.text(max_size=2))
states = st.dictionaries(
    keys,
    st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(keys, inner, max_size=3)
            | st.dictionaries(keys, inner, max_size=3).map(OrderedDict)
        ),
        max_leaves=12,
    ),
    max_size=4,
)


def same(first: Any, second: Any) -> bool:
    """Compare by type and by bits: NaN equals NaN, and 0.0 differs from -0.0."""
    if type(first) is not type(second):
        return False
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, float):
        return struct.pack("d", first) == struct.pack("d", second)
    return bool(first == second)


def saved_twice(folder: Path) -> tuple[Path, Path]:
    saver = Checkpointer(folder, OWNER)
    return saver.save({"n": 1}, 1, 10), saver.save({"n": 2}, 2, 20)


def torch_bytes(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@settings(max_examples=60)
@given(state=states)
def test_nested_states_come_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, state: dict[Any, Any]
) -> None:
    saver = Checkpointer(tmp_path_factory.mktemp("checkpoints"), OWNER)
    path = saver.save(state, 3, 40)
    loaded = saver.latest()
    assert loaded is not None
    assert (loaded.path, loaded.epoch, loaded.step) == (path, 3, 40)
    assert same(loaded.state, state)
    assert saver.refused == []


def test_training_state_of_torch_comes_back(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(model.parameters(), lr=np.float64(0.1))
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    model(torch.randn(3, 4)).sum().backward()
    optimizer.step()
    scheduler.step()
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "rng": capture_rng(),
        "generator": torch.Generator().manual_seed(3).get_state(),
    }
    saver = Checkpointer(tmp_path, OWNER)
    saver.save(state, 0, 1)
    loaded = saver.latest()
    assert loaded is not None
    assert loaded.state["model"]._metadata == model.state_dict()._metadata  # type: ignore[attr-defined]
    copy = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    copy.load_state_dict(loaded.state["model"])
    again = torch.optim.Adam(copy.parameters(), lr=1.0)
    again.load_state_dict(loaded.state["optimizer"])
    assert same(again.state_dict()["state"], optimizer.state_dict()["state"])
    assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    assert same(loaded.state["rng"], state["rng"])


def test_values_are_reduced_to_what_can_be_loaded(tmp_path: Path) -> None:
    class Kind(enum.StrEnum):
        SOFT = "soft"

    class Level(enum.IntEnum):
        LOW = 1

    state = {
        "parameter": nn.Parameter(torch.ones(2)),
        "graph": nn.Parameter(torch.ones(2)) * 2,
        "kind": Kind.SOFT,
        "level": Level.LOW,
        "numbers": (np.float64(0.5), np.int64(3), np.bool_(True), np.str_("text")),
        np.int64(4): "key",
    }
    saver = Checkpointer(tmp_path, OWNER)
    saver.save(state, 0, 0)
    loaded = saver.latest()
    assert loaded is not None
    expected = {
        "parameter": torch.ones(2),
        "graph": torch.full((2,), 2.0),
        "kind": "soft",
        "level": 1,
        "numbers": (0.5, 3, True, "text"),
        4: "key",
    }
    assert same(loaded.state, expected)


def test_names_sort_and_only_the_newest_stay(tmp_path: Path) -> None:
    saver = Checkpointer(tmp_path, OWNER, keep=3)
    for epoch, step in [(0, 0), (0, 7), (1, 100), (2, 99_999_999), (10_000, 100_000_000)]:
        saver.save(STATE, epoch, step)
    assert [path.name for path in saver.files()] == [
        "0001-00000100.ckpt",
        "0002-99999999.ckpt",
        "10000-100000000.ckpt",
    ]
    assert saver.latest().epoch == 10_000  # type: ignore[union-attr]


def test_an_old_file_is_dropped_only_after_the_new_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = Checkpointer(tmp_path, OWNER, keep=1)
    saver.save({"n": 1}, 1, 1)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        saver.save({"n": 2}, 2, 2)
    assert Checkpointer(tmp_path, OWNER).latest().state == {"n": 1}  # type: ignore[union-attr]


def test_saving_the_same_step_again_replaces_the_file(tmp_path: Path) -> None:
    saver = Checkpointer(tmp_path, OWNER)
    saver.save({"n": 1}, 1, 1)
    saver.save({"n": 2}, 1, 1)
    assert len(saver.files()) == 1
    assert saver.latest().state == {"n": 2}  # type: ignore[union-attr]


def test_no_folder_and_an_empty_folder_hold_none(tmp_path: Path) -> None:
    assert Checkpointer(tmp_path / "none", OWNER).latest() is None
    assert not (tmp_path / "none").exists()
    assert Checkpointer(tmp_path, OWNER).latest() is None


def test_clear_removes_checkpoints_and_nothing_else(tmp_path: Path) -> None:
    saver = Checkpointer(tmp_path, OWNER)
    saver.save(STATE, 1, 1)
    (tmp_path / "notes.ckpt").write_text("mine")
    saver.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.ckpt"]
    assert saver.latest() is None


def test_at_least_one_is_kept() -> None:
    with pytest.raises(ConfigError, match="at least 1 checkpoint, not 0"):
        Checkpointer("anywhere", OWNER, keep=0)


def other_format(content: bytes) -> bytes:
    """Return a flawless file of a later format."""
    copy = bytearray(content)
    struct.pack_into(">H", copy, 14, 2)
    struct.pack_into("32s", copy, 24, checkpoint._digest(memoryview(copy)))
    return bytes(copy)


DAMAGES = {
    "empty": (lambda content: b"", "it is empty"),
    "header only": (lambda content: content[:30], "no checkpoint of this program"),
    "truncated": (lambda content: content[:-1], r"truncated \(\d+ of \d+ bytes\)"),
    "half": (lambda content: content[: len(content) // 2], "truncated"),
    "longer": (lambda content: content + b"x", "damaged, its SHA-256"),
    "zeros at the end": (lambda content: content[:-200] + bytes(200), "damaged, its SHA-256"),
    "torch": (lambda content: torch_bytes({"n": 2}), "no checkpoint of this program"),
    "text": (lambda content: b"hello " * 100, "no checkpoint of this program"),
    "format": (other_format, "it has format 2, this version of nas reads format 1"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_refused_by_name_and_the_one_before_used(
    tmp_path: Path, kind: str
) -> None:
    before, newest = saved_twice(tmp_path)
    damage, reason = DAMAGES[kind]
    newest.write_bytes(damage(newest.read_bytes()))
    saver = Checkpointer(tmp_path, OWNER)
    loaded = saver.latest()
    assert loaded is not None
    assert (loaded.path, loaded.state) == (before, {"n": 1})
    assert len(saver.refused) == 1
    assert saver.refused[0].startswith(f"checkpoint {newest} is not used: ")
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(saver.refused[0])


def test_all_damaged_means_none_with_each_named(tmp_path: Path) -> None:
    for path in saved_twice(tmp_path):
        path.write_bytes(b"")
    saver = Checkpointer(tmp_path, OWNER)
    assert saver.latest() is None
    assert len(saver.refused) == 2
    assert saver.latest() is None
    assert len(saver.refused) == 2


def test_a_foreign_file_is_refused_with_both_owners(tmp_path: Path) -> None:
    mine = Checkpointer(tmp_path, OWNER).save({"n": 1}, 1, 1)
    foreign = Checkpointer(tmp_path, "fff000").save({"n": 2}, 2, 2)
    saver = Checkpointer(tmp_path, OWNER)
    assert saver.latest().path == mine  # type: ignore[union-attr]
    assert saver.refused == [
        f"checkpoint {foreign} is not used: it belongs to run fff000, this is run abc123"
    ]


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    before, newest = saved_twice(tmp_path)
    newest.unlink()
    newest.mkdir()
    saver = Checkpointer(tmp_path, OWNER)
    assert saver.latest().path == before  # type: ignore[union-attr]
    assert "cannot read" in saver.refused[0]


def sealed(payload: bytes) -> bytes:
    content = bytearray(checkpoint._HEADER.size) + payload
    header = (checkpoint._MARK, checkpoint.FORMAT, len(payload))
    checkpoint._HEADER.pack_into(content, 0, *header, bytes(32))
    checkpoint._HEADER.pack_into(content, 0, *header, checkpoint._digest(memoryview(content)))
    return bytes(content)


class Malice:
    def __reduce__(self) -> Any:
        return os.mkdir, (str(Malice.target),)

    target = Path()


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    before, newest = saved_twice(tmp_path)
    Malice.target = tmp_path / "created"
    newest.write_bytes(sealed(torch_bytes({"owner": OWNER, "state": Malice()})))
    saver = Checkpointer(tmp_path, OWNER)
    assert saver.latest().path == before  # type: ignore[union-attr]
    assert not Malice.target.exists()
    assert "cannot be loaded safely" in saver.refused[0]


def test_other_content_in_a_flawless_file_is_refused(tmp_path: Path) -> None:
    before, newest = saved_twice(tmp_path)
    newest.write_bytes(sealed(torch_bytes([1, 2])))
    saver = Checkpointer(tmp_path, OWNER)
    assert saver.latest().path == before  # type: ignore[union-attr]
    assert "not that of a checkpoint" in saver.refused[0]


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    saver = Checkpointer(tmp_path, OWNER)
    path = saver.save({"n": torch.ones(1)}, 1, 1)
    content = path.read_bytes()
    header = range(checkpoint._HEADER.size)
    payload = range(checkpoint._HEADER.size, len(content), 7)
    for position in [*header, *payload, len(content) - 1]:
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        with pytest.raises(checkpoint._RefusedError):
            checkpoint._decode(bytes(flipped))
    assert checkpoint._decode(content)["owner"] == OWNER


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_values_that_are_not_finite_are_named_and_not_written(
    tmp_path: Path, value: float, dtype: torch.dtype
) -> None:
    saver = Checkpointer(tmp_path, OWNER)
    good = saver.save(STATE, 1, 1)
    bad = torch.zeros(2, 3, dtype=dtype)
    bad[1, 2] = value
    state = {"optimizer": {"state": {0: [{"momentum": bad}]}}}
    with pytest.raises(
        NasError,
        match=r"'optimizer/state/0/0/momentum' holds NaN or infinity.*lower the learning rate.*"
        r"the last good checkpoint, 0001-00000001\.ckpt, is kept",
    ):
        saver.save(state, 2, 2)
    assert [entry.name for entry in tmp_path.iterdir()] == [good.name]


def test_plain_numbers_may_be_infinite(tmp_path: Path) -> None:
    saver = Checkpointer(tmp_path, OWNER)
    saver.save({"best": float("-inf")}, 1, 1)
    assert saver.latest().state == {"best": float("-inf")}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        np.zeros(2),
        object(),
        range(3),
        b"",
        2**3000,
        torch.ones(2).to_sparse(),
        torch.ones(2, device="meta"),
        torch.ones(2).as_subclass(type("Own", (torch.Tensor,), {})),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_could_not_be_loaded_again_is_refused_at_once(tmp_path: Path, value: object) -> None:
    saver = Checkpointer(tmp_path, OWNER)
    with pytest.raises(NasError, match="checkpoint not written: entry 'policy/extra'") as caught:
        saver.save({"policy": {"extra": value}}, 1, 1)
    assert "is kept" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["write", "fsync"])
def test_a_full_disk_keeps_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    saver = Checkpointer(tmp_path, OWNER)
    good = saver.save(STATE, 1, 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, place, full)
    with pytest.raises(NasError, match=r"cannot write .*0002-00000002\.ckpt: the disk is full"):
        saver.save(STATE, 2, 2)
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == [good.name]
    assert saver.latest().path == good  # type: ignore[union-attr]


class Killed(BaseException):
    pass


def test_a_kill_between_write_and_rename_costs_only_the_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    saver = Checkpointer(tmp_path, OWNER)
    good = saver.save(STATE, 1, 1)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        patched.setattr(Path, "unlink", killed)  # a killed process cleans nothing up
        with pytest.raises(Killed):
            saver.save(STATE, 2, 2)
    assert len(list(tmp_path.iterdir())) == 2
    after = Checkpointer(tmp_path, OWNER)
    assert [entry.name for entry in tmp_path.iterdir()] == [good.name]
    assert after.latest().path == good  # type: ignore[union-attr]
    assert after.refused == []


def test_going_on_after_a_refused_file_keeps_ones_own_progress(tmp_path: Path) -> None:
    foreign = Checkpointer(tmp_path, "fff000").save({"n": 0}, 50, 50)
    saver = Checkpointer(tmp_path, OWNER, keep=2)
    assert saver.latest() is None
    for epoch in range(1, 4):
        saver.save({"n": epoch}, epoch, epoch)
    assert [path.name[:4] for path in saver.files()] == ["0002", "0003", "0050"]
    assert foreign.exists()
    assert saver.latest().state == {"n": 3}  # type: ignore[union-attr]


def test_a_damaged_file_gives_way_to_the_same_step_written_anew(tmp_path: Path) -> None:
    _, newest = saved_twice(tmp_path)
    newest.write_bytes(b"")
    saver = Checkpointer(tmp_path, OWNER, keep=2)
    assert saver.latest().epoch == 1  # type: ignore[union-attr]
    saver.save({"n": 2}, 2, 20)
    saver.save({"n": 3}, 3, 30)
    assert [path.name[:4] for path in saver.files()] == ["0002", "0003"]
    assert saver.latest().state == {"n": 3}  # type: ignore[union-attr]
    assert saver.refused == []


def test_the_state_handed_over_is_not_changed(tmp_path: Path) -> None:
    parameter = nn.Parameter(torch.ones(2))
    state = {"a": [parameter], "b": OrderedDict(c=1)}
    Checkpointer(tmp_path, OWNER).save(state, 1, 1)
    assert state["a"][0] is parameter  # type: ignore[index]
    assert parameter.requires_grad
