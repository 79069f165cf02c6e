"""``nas plugin``: what is installed, what it adds, and whether it loads."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

NAME = "nas_plugin_verb_test"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; test packages are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*(p for p in sys.path if p), str(tmp_path / "site")])
    yield tmp_path
    for name in [n for n in sys.modules if n.startswith(NAME)]:
        del sys.modules[name]


@pytest.fixture
def installed(place: Path) -> Path:
    """An installed package with an entry point and a config folder."""
    package = place / "site" / NAME
    (package / "conf" / "space").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "conf" / "space" / "theirs.yaml").write_text(f"_target_: {NAME}.Space\n")
    info = place / "site" / f"{NAME}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-lab\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[nas.plugins]\nlab = {NAME}\n")
    return package


def test_nothing_installed_is_said(say: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = say("plugin")
    assert status == 0
    assert "no package with an entry point in group nas.plugins" in out
    assert "next  nas new space my_space" in out


def test_an_installed_package_is_listed_with_what_it_adds(
    installed: Path, say: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, _ = say("plugin")
    assert status == 0
    assert out.splitlines()[1].split() == ["lab", NAME, "their-lab", "1.2", "space=theirs", "loads"]
    assert "next  nas search space=theirs --plan" in out


def test_as_json(installed: Path, say: Callable[..., tuple[int, str, str]]) -> None:
    status, out, _ = say("plugin", "--json")
    assert status == 0
    assert json.loads(out)["plugins"] == [
        {
            "name": "lab",
            "module": NAME,
            "package": "their-lab 1.2",
            "configs": str(installed / "conf"),
            "adds": {"space": ["theirs"]},
            "error": "",
        }
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("raise KeyError('lost')", "KeyError: 'lost'"),
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("def (", "SyntaxError"),
        (None, f"there is no module '{NAME}' here; run in its folder, or install it"),
    ],
)
def test_what_does_not_load_is_told(
    place: Path, text: str | None, sentence: str, say: Callable[..., tuple[int, str, str]]
) -> None:
    if text is not None:
        (place / f"{NAME}.py").write_text(text)
    status, out, _ = say("plugin", f"plugins=[{NAME}]")
    assert status == 1
    assert sentence in " ".join(out.split())


def test_a_module_of_the_folder_loads(
    place: Path, say: Callable[..., tuple[int, str, str]]
) -> None:
    (place / f"{NAME}.py").write_text("")
    status, out, _ = say("plugin", f"plugins=[{NAME}]")
    assert status == 0
    assert f"next  nas search plugins=[{NAME}] --plan" in out
