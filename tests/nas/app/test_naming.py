"""How runs are called, and what makes two runs the same."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from nas.app.naming import chosen, name
from nas.cli.paths import config_dir
from nas.cli.positional import parse
from nas.cli.verbs import VERBS
from nas.errors import ConfigError

SPACE = """\
class Mine:
    def supernet(self): ...
    def network(self, genotype): ...
"""


def composed(*words: str) -> DictConfig:
    overrides = parse(VERBS["search"], list(words)).overrides
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("search", list(overrides), return_hydra_config=True)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of a user's, as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "nas_naming_test.py").write_text(SPACE)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"space": "darts", "strategy": "pc_darts", "data": "digits"}),
        (["space._target_=my_lab.Mine"], {"space": "mine"}),
        (["space=darts", "space._target_=my_lab.Mine"], {"space": "mine"}),
        (["strategy.update._target_=a.Rule"], {"strategy": "pc_darts+rule"}),
        (
            ["strategy=darts", "+strategy/add=[partial_channels, warmup]"],
            {"strategy": "darts+partial_channels+warmup"},
        ),
        (["data._target_=my_lab.Stripes", "task._target_=a.b.Focal"], {"data": "stripes"}),
    ],
)
def test_choices_are_called_by_what_is_really_used(
    words: list[str], expected: dict[str, str]
) -> None:
    found = chosen(composed(*words).hydra)
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    "words",
    [
        ["plugins=[nas_naming_test]"],
        ["plugins=[nas_naming_test]", "space._target_=nas_naming_test.Mine"],
        ["plugins=[nas_naming_test]", "formats=[nas_naming_test.Exporter]"],
    ],
    ids=["named", "used", "as a format"],
)
def test_one_line_of_a_users_module_changes_the_runs_name(lab: Path, words: list[str]) -> None:
    first = name(composed(*words))
    assert name(composed(*words)) == first
    (lab / "nas_naming_test.py").write_text(SPACE + "# one line\n")
    assert name(composed(*words)) != first


def test_settings_of_a_file_cannot_allow_a_module(lab: Path) -> None:
    cfg = composed()
    cfg.plugins = ["nas_naming_test"]  # as a config file would
    with pytest.raises(ConfigError, match="which only the command may"):
        name(cfg)


def test_a_class_that_is_not_allowed_names_no_folder(lab: Path) -> None:
    with pytest.raises(ConfigError, match=r"add plugins=\[nas_naming_test\] to the command"):
        name(composed("space._target_=nas_naming_test.Mine"))


def test_a_class_that_is_no_data_source_is_told_before_anything_runs(lab: Path) -> None:
    words = ["plugins=[nas_naming_test]", "data._target_=nas_naming_test.Mine"]
    with pytest.raises(ConfigError, match=r"Mine is no DataSource: it lacks fingerprint\(\)"):
        name(composed(*words))
