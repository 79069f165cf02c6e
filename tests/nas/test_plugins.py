"""A user's modules: where they lie, which are allowed, and what their source is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas import plugins
from nas.errors import ConfigError
from nas.store.identity import source_digest

NAME = "nas_plugins_test"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder that is not on the path; test packages are forgotten afterwards."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    yield place
    for name in [n for n in sys.modules if n.startswith(NAME)]:
        del sys.modules[name]


@pytest.fixture
def site(tmp_path: Path, here: Path) -> Path:
    """A folder on the path, for packages that are installed."""
    place = tmp_path / "site"
    place.mkdir()
    sys.path.append(str(place))
    return place


def package(folder: Path, name: str = NAME, text: str = "") -> Path:
    place = folder.joinpath(*name.split("."))
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(text)
    return place


def install(site: Path, entry: str, name: str = NAME) -> None:
    info = site / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[nas.plugins]\n{entry}\n")


def mine() -> plugins.Plugin:
    (found,) = [p for p in plugins.installed() if p.package == NAME]
    return found


def test_the_current_folder_is_looked_in_last_and_only_for_plugins(here: Path) -> None:
    before = list(sys.path)
    plugins.importable([])
    assert sys.path == before
    plugins.importable([f"{NAME}.parts"])
    plugins.importable([f"{NAME}.parts"])
    assert sys.path == [*before, str(here)]


@pytest.mark.parametrize("name", ["my_lab/space.py", "my lab", "a..b", "", "1a"])
def test_what_is_no_modules_name_is_refused(here: Path, name: str) -> None:
    for check in (plugins.importable, lambda names: plugins.check_granted(names, [])):
        with pytest.raises(ConfigError, match="modules are named as Python imports them"):
            check([name])


@pytest.mark.parametrize("kind", ["package", "module"])
def test_a_module_that_an_installed_one_hides_is_refused(site: Path, here: Path, kind: str) -> None:
    package(site)
    if kind == "package":
        package(here)
    else:
        (here / f"{NAME}.py").write_text("")
    with pytest.raises(ConfigError, match=f"is hidden by the installed .*site/{NAME}; give yours"):
        plugins.importable([NAME])


def test_a_folder_without_python_hides_and_is_hidden_by_nothing(site: Path, here: Path) -> None:
    package(site)
    (here / NAME).mkdir()
    plugins.importable([NAME])


def test_an_entry_point_is_found_without_importing_its_package(site: Path) -> None:
    package(site, text="raise RuntimeError('imported')")
    install(site, f"theirs = {NAME}")
    assert mine() == plugins.Plugin("theirs", NAME, NAME, "1.2")
    assert mine().configs is None
    assert NAME in plugins.packages([])
    assert NAME not in sys.modules


@pytest.mark.parametrize(
    ("module", "folder"),
    [
        (NAME, NAME),
        (f"{NAME}.parts", NAME),
        (f"{NAME}.inner", f"{NAME}/inner"),
        (f"{NAME}.inner.parts", f"{NAME}/inner"),
    ],
)
def test_its_configs_lie_in_the_innermost_package(site: Path, module: str, folder: str) -> None:
    package(site)
    package(site, f"{NAME}.inner")
    for place in (NAME, f"{NAME}/inner"):
        (site / place / "conf").mkdir()
    install(site, f"theirs = {module}")
    assert mine().configs == site / folder / "conf"
    assert site / folder / "conf" in plugins.config_folders()


def test_an_entry_point_whose_package_is_gone_has_no_configs(site: Path) -> None:
    install(site, f"theirs = {NAME}.gone")
    assert mine().configs is None


@pytest.mark.parametrize(
    "overrides",
    [
        ["plugins=[a.b,c]"],
        ["seed=1", "++plugins=['a.b', \"c\"]"],
        ["+plugins=[ a.b ,c]"],
        ["plugins=[c]", "plugins=[a.b]"],
        ["plugins=[a.b],[c]"],
    ],
)
def test_the_command_grants(overrides: list[str]) -> None:
    assert sorted(plugins.granted(overrides)) == ["a.b", "c"]
    plugins.check_granted(["a.b", "c"], overrides)


@pytest.mark.parametrize("overrides", [[], ["plugins=[]"], ["plugins=[a]"], ["x.plugins=[a.b]"]])
def test_a_file_does_not(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"config file sets plugins=\[a\.b\], which only the com"):
        plugins.check_granted(["a.b"], overrides)


def test_sources_cover_every_package_but_ours(site: Path, here: Path) -> None:
    place = package(site)
    (here / f"{NAME}_module.py").write_text("x = 1")
    names = [f"{NAME}.parts.Part", f"{NAME}_module", "nas.data.Digits", "torch.nn", "torchvision.x"]
    found = plugins.sources([*names, "search_spaces.darts"])
    assert found == {
        NAME: source_digest(place),
        f"{NAME}_module": source_digest(here / f"{NAME}_module.py"),
    }


def test_one_line_more_is_another_digest(here: Path) -> None:
    place = package(here)
    before = plugins.sources([NAME])
    (place / "inner.py").write_text("# one line\n")
    assert plugins.sources([NAME]) != before


def test_a_builtin_module_has_a_digest_and_a_lost_one_is_told() -> None:
    assert set(plugins.sources(["sys.path"])) == {"sys"}
    with pytest.raises(ConfigError, match="there is no module 'nowhere' on the path"):
        plugins.sources(["nowhere.x"])


def test_a_loaded_package_keeps_the_digest_of_what_was_loaded(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = package(here)
    before = plugins.sources([NAME])
    __import__(NAME)
    (place / "__init__.py").write_text("x = 2")
    assert plugins.sources([NAME]) == before
    assert plugins.sources([NAME]) == before
    told = " ".join(capsys.readouterr().err.split())
    assert told.count(f"{NAME} was edited after this Python process had loaded it") == 1
    del sys.modules[NAME]
    assert plugins.sources([NAME]) == {NAME: source_digest(place)} != before


def test_targets_are_found_in_lists_too() -> None:
    settings = {"a": {"_target_": "x.Y", "b": [{"_target_": "z.W"}, 1]}, "c": None}
    assert list(plugins.targets(settings)) == ["x.Y", "z.W"]


def test_an_exception_names_the_users_file(here: Path) -> None:
    package(here, text="def fail():\n    return {}['lost']\n\ndef call(f):\n    f()\n")
    plugins.importable([NAME])
    module = __import__(NAME)
    with pytest.raises(KeyError) as caught:
        module.fail()
    assert plugins.raised_in(caught.value) == f"{NAME}/__init__.py, line 2"
    with pytest.raises(ConfigError) as through:
        module.call(lambda: plugins.importable(["1a"]))
    assert plugins.raised_in(through.value) == f"{NAME}/__init__.py, line 5"


def test_an_exception_of_ours_names_none(here: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        plugins.importable(["1a"])
    assert plugins.raised_in(caught.value) == ""
