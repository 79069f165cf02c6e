from pathlib import Path

import numpy as np
import pytest

from nas.data import cache


def test_the_folder_is_the_named_one_else_the_users_else_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("NAS_CACHE_DIR", "~/mine")
    assert cache.cache_folder() == home / "mine"
    monkeypatch.delenv("NAS_CACHE_DIR")
    assert cache.cache_folder() == Path("/xdg/diffnas")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_folder() == home / ".cache" / "diffnas"
    monkeypatch.setattr(cache.os, "access", lambda path, mode: False)
    assert cache.cache_folder() == Path(".cache/diffnas")


def test_arrays_are_made_once() -> None:
    made: list[int] = []

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return {"a": np.arange(5), "b": np.array(["x", "yy"])}

    first, again = (cache.arrays("key", ["a", "b"], make) for _ in range(2))
    assert made == [1]
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[name], again[name]) for name in first)
    cache.arrays("other", ["a"], make)
    assert made == [1, 1]


@pytest.mark.parametrize("damage", ["cut", "flipped", "other names", "empty"])
def test_a_damaged_file_is_made_anew_with_one_warning(
    damage: str, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def make() -> dict[str, np.ndarray]:
        return {"a": np.arange(1000)}

    cache.arrays("key", ["a"], make)
    (path,) = own_cache.rglob("*.npz")
    raw = path.read_bytes()
    flipped = bytearray(raw)
    flipped[len(raw) // 2] ^= 1
    content = {"cut": raw[:500], "flipped": bytes(flipped), "empty": b""}
    if damage == "other names":
        np.savez(path, b=np.arange(3))
    else:
        path.write_bytes(content[damage])
    for _ in range(2):
        assert np.array_equal(cache.arrays("key", ["a"], make)["a"], np.arange(1000))
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("warning") == 1
    assert "is damaged and made anew" in said
    assert path.stat().st_size == len(raw)


def test_objects_are_never_written_nor_loaded(own_cache: Path) -> None:
    own_cache.joinpath("arrays").mkdir(parents=True)
    np.savez(own_cache / "arrays" / "key.npz", a=np.array([print], dtype=object))
    found = cache.arrays("key", ["a"], lambda: {"a": np.arange(2)})
    assert found["a"].tolist() == [0, 1]


def test_a_folder_that_cannot_be_written_costs_a_warning_only(
    own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_cache.write_text("a file where the folder should be")
    for key in ("one", "two"):
        found = cache.arrays(key, ["a"], lambda: {"a": np.arange(2)})
        assert found["a"].tolist() == [0, 1]
        assert cache.remembered("digests", key, lambda: "value") == "value"
    said = " ".join(capsys.readouterr().err.split())
    assert "NAS_CACHE_DIR can name another folder" in said


def test_a_damaged_record_is_made_anew(own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.remembered("digests", "key", lambda: "old")
    (own_cache / "digests" / "key.json").write_text("{")
    assert cache.remembered("digests", "key", lambda: "new") == "new"
    assert cache.remembered("digests", "key", lambda: "newer") == "new"
    assert capsys.readouterr().err.count("warning") == 1


def test_nothing_half_written_stays_when_writing_fails(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    found = cache.arrays("key", ["a"], lambda: {"a": np.arange(2)})
    assert found["a"].tolist() == [0, 1]
    assert [path for path in own_cache.rglob("*") if path.is_file()] == []
