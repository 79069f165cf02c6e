from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict

from nas.app import stages
from nas.cli.paths import config_dir
from nas.errors import ConfigError
from nas.schema import GROUPS, STAGES, Top, check_settings


def composed(verb: str = "search", *overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose(verb, list(overrides))
    with open_dict(cfg):
        cfg.pop("hydra", None)
    return cfg


@pytest.fixture(scope="module")
def settings() -> DictConfig:
    return composed()


@pytest.mark.parametrize("group", GROUPS)
def test_every_shipped_file_of_a_group_fits_its_schema(group: str) -> None:
    files = sorted((config_dir() / group).glob("*.yaml"))
    assert files
    for file in files:
        check_settings(composed("search", f"{group}={file.stem}"))


def test_every_setting_of_the_verbs_has_a_type(settings: DictConfig) -> None:
    groups = {path.name for path in config_dir().iterdir() if path.is_dir()}
    assert set(map(str, settings)) - groups - {"from"} == set(Top.__dataclass_fields__)


def changed(cfg: DictConfig, key: str, value: Any) -> DictConfig:
    copy = cfg.copy()
    OmegaConf.set_struct(copy, False)
    OmegaConf.update(copy, key, value, merge=False)
    return copy


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("trainer.epochs", "many", "trainer.epochs must be a whole number, got 'many'"),
        ("trainer.epochs", 2.5, "trainer.epochs must be a whole number, got 2.5"),
        ("trainer.epochs", True, "trainer.epochs must be a whole number, got True"),
        ("trainer.epochs", -3, "trainer.epochs must be a whole number of at least 1, got -3"),
        ("trainer.epochs", None, "trainer.epochs must be a whole number, got None"),
        ("trainer.epoch", 3, "unknown setting 'trainer.epoch'; did you mean 'epochs'?"),
        ("cuda_graph", "maybe", "cuda_graph must be one of auto, true, false, got 'maybe'"),
        ("cuda_graph", 1, "cuda_graph must be one of auto, true, false, got 1"),
        ("channels_last", "yes please", "channels_last must be true or false, got 'yes please'"),
        ("trainer.drop_path", 1.0, "trainer.drop_path is a probability from 0 to below 1"),
        ("trainer.network_clip", -1.0, "trainer.network_clip must be a number of at least 0"),
        ("trainer.macs_tolerance", float("nan"), "trainer.macs_tolerance must be a number"),
        ("preset.cells", "few", "preset.cells must be a whole number, got 'few'"),
        ("logger.tensorboard", "maybe", "logger.tensorboard must be true or false, got 'maybe'"),
        ("strategy.edge_weights", 3.5, "strategy.edge_weights must be true or false, got 3.5"),
        ("strategy.schedules", [1], "strategy.schedules must be a group of settings, got [1]"),
        ("optim.weights", 3, "optim.weights must be a group of settings, got 3"),
        ("budget.params", -5, "budget.params must be a number above 0, got -5"),
        ("budget.params", "small", "budget.params must be a number above 0, got 'small'"),
        ("device", "cudo", "device must be one of auto, cpu, cuda, got 'cudo'; did you mean"),
        ("precision", "fp8", "precision must be one of fp32, bf16, got 'fp8'"),
        ("resume", "maybe", "resume must be one of auto, never, must, force, got 'maybe'"),
        ("init", "warm", "init must be one of scratch, inherit, got 'warm'"),
        ("mode", "dry", "mode must be one of run, plan, got 'dry'"),
        ("threads", 0, "threads must be a whole number of at least 1, got 0"),
        ("seed", "zero", "seed must be a whole number, got 'zero'"),
        ("stages", "search", "stages must be a list, got 'search'"),
        ("checkpoint_seconds", -1, "checkpoint_seconds must be a number of at least 0, got -1"),
        ("trainer", 3, "trainer is a group of settings (epochs, batch_size"),
        ("trainer.epochs", "${nowhere.at.all}", "trainer.epochs cannot be resolved"),
    ],
)
def test_what_does_not_fit_is_named(settings: DictConfig, key: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_settings(changed(settings, key, value))
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_whole_numbers_are_numbers_and_null_is_no_limit(settings: DictConfig) -> None:
    check_settings(changed(settings, "trainer.network_clip", 5))
    check_settings(changed(settings, "budget.params", None))
    check_settings(changed(settings, "budget.params", 200_000))


def test_a_file_of_a_users_is_held_to_the_schema(tmp_path: Path) -> None:
    from nas.cli import main

    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ntrainer:\n  epochs: many\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    line = ["search", f"--config-dir={tmp_path}", "experiment=mine", f"runs={tmp_path}/runs"]
    assert main(line) == 2


def test_the_stages_are_those_that_there_are() -> None:
    assert tuple(stages.STAGES) == STAGES
