import hashlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import NasError
from nas.store import identity
from nas.store.identity import (
    RUNTIME_KEYS,
    canonical_json,
    own_source_digest,
    run_hash,
    source_digest,
)

CONFIG: dict[str, Any] = {"seed": 0, "precision": "fp32", "optim": {"lr": 0.1, "betas": [0.5, 1]}}

configs = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    max_size=4,
)


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(entry) for entry in value] if isinstance(value, list) else value


@given(config=configs)
def test_a_hash_is_six_hex_digits_whatever_the_order_of_keys(config: dict[str, Any]) -> None:
    name = run_hash(config, "data")
    assert re.fullmatch("[0-9a-f]{6}", name)
    assert run_hash(reversed_keys(config), "data") == name


@given(config=configs, key=st.sampled_from(sorted(RUNTIME_KEYS)), value=st.text())
def test_runtime_keys_do_not_count(config: dict[str, Any], key: str, value: str) -> None:
    plain = {name: entry for name, entry in config.items() if name not in RUNTIME_KEYS}
    assert run_hash({**plain, key: value}, "d") == run_hash(plain, "d")


def test_what_decides_the_result_is_no_runtime_key() -> None:
    assert {"device", "resume", "fresh", "stages", "runs", "mode", "threads"} <= RUNTIME_KEYS
    assert {"logger", "plugins"} <= RUNTIME_KEYS
    assert not RUNTIME_KEYS & {"seed", "precision", "compile", "space", "strategy", "data", "optim"}


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"precision": "bf16"},
        {"compile": True},
        {"optim": {"lr": 0.2, "betas": [0.5, 1]}},
        {"optim": {"lr": 0.1, "betas": [1, 0.5]}},
        {"optim": {"lr": 0.1, "betas": [0.5, 1], "device": "cuda"}},
    ],
)
def test_every_other_setting_counts(changed: dict[str, Any]) -> None:
    assert run_hash({**CONFIG, **changed}, "d") != run_hash(CONFIG, "d")


def test_data_sources_and_code_schema_count(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        run_hash(CONFIG, "d"),
        run_hash(CONFIG, "e"),
        run_hash(CONFIG, "d", {"my_lab": "1"}),
        run_hash(CONFIG, "d", {"my_lab": "2"}),
        run_hash(CONFIG, "d", {"your_lab": "1"}),
    ]
    monkeypatch.setattr(identity, "CODE_SCHEMA", identity.CODE_SCHEMA + 1)
    names.append(run_hash(CONFIG, "d"))
    assert len(set(names)) == len(names)


def test_the_hash_is_that_of_a_text_anyone_can_write() -> None:
    text = '{"config":{"seed":0},"data":"d","schema":1,"sources":{}}'
    assert (
        run_hash({"seed": 0, "device": "cpu"}, "d") == hashlib.sha256(text.encode()).hexdigest()[:6]
    )


def test_canonical_json_has_one_form() -> None:
    value = {"b": (1, 2.5), "ä": None, 1: Path("x/y")}
    assert canonical_json(value) == '{"1":"x/y","b":[1,2.5],"\\u00e4":null}'


def package(folder: Path, **sources: str) -> Path:
    """Write the sources; a double underscore within a name stands for a slash."""
    for name, text in sources.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_source_digest_depends_on_content_and_names_not_on_the_place(tmp_path: Path) -> None:
    first = package(tmp_path / "one" / "lab", space="a = 1", inner__part="b = 2")
    second = package(tmp_path / "two" / "lab", space="a = 1", inner__part="b = 2")
    digest = source_digest(first)
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert source_digest(second) == digest
    (second / "notes.txt").write_text("no source")
    (second / ".venv").mkdir()
    (second / ".venv" / "other.py").write_text("not ours")
    assert source_digest(second) == digest
    (second / "inner" / "part.py").write_text("b = 3")
    assert source_digest(second) != digest
    (second / "inner" / "part.py").rename(second / "inner" / "renamed.py")
    (second / "inner" / "renamed.py").write_text("b = 2")
    assert source_digest(second) != digest


def test_moving_text_between_files_changes_the_digest(tmp_path: Path) -> None:
    first = package(tmp_path / "one" / "lab", a="xy", b="z")
    second = package(tmp_path / "two" / "lab", a="x", b="yz")
    assert source_digest(first) != source_digest(second)


def test_a_single_file_and_several_paths_have_a_digest(tmp_path: Path) -> None:
    folder = package(tmp_path, a="1", b="2")
    both = source_digest(folder / "a.py", folder / "b.py")
    assert both == source_digest(folder / "b.py", folder / "a.py")
    assert both != source_digest(folder / "a.py")


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"no source at .*nowhere"):
        source_digest(tmp_path / "nowhere")


def test_our_own_sources_are_found_without_importing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ["own_a", "own_b"]:
        package(tmp_path / name, part="x")
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(identity, "_OWN_PACKAGES", ("own_a", "own_b", "own_absent"))
    assert own_source_digest() == source_digest(tmp_path / "own_a", tmp_path / "own_b")
    assert "own_a" not in sys.modules


def test_the_digest_of_nas_covers_this_package() -> None:
    root = Path(identity.__file__).parents[2]
    assert own_source_digest() == source_digest(root / "nas", root / "search_spaces")
