from __future__ import annotations

import shlex

import pytest

from nas.cli.official import search_line, train_line
from nas.cli.positional import parse
from nas.cli.verbs import VERBS
from nas.errors import ConfigError


def test_the_flags_of_a_search_become_settings() -> None:
    line = search_line(
        shlex.split(
            "--data ~/cifar --set cifar100 --layers 5 --init_channels 8 --batch_size 64 --epochs 3 "
            "--learning_rate 0.025 --arch_learning_rate 3e-4 --seed 2 --cutout --unrolled "
            "--train_portion 0.4 runs=mine"
        )
    )
    assert line[:3] == ["search", "experiment=pc_darts_cifar10", "preset=paper"]
    assert set(line[3:]) == {
        "data.root=~/cifar",
        "data=cifar100",
        "space.cells=5",
        "space.channels=8",
        "trainer.batch_size=64",
        "trainer.epochs=3",
        "optim.weights.lr=0.025",
        "optim.architecture.lr=3e-4",
        "seed=2",
        "data.augment.cutout=16",
        "strategy=darts_2nd",
        "data.architecture=0.6",
        "runs=mine",
    }


def test_the_flags_of_a_training_become_settings() -> None:
    line = train_line(
        ["--arch", "DARTS_V2", "--layers", "8", "--auxiliary", "--drop_path_prob=0.3"]
    )
    assert line[:2] == ["retrain", "DARTS_V2"]
    assert {"space.network_cells=8", "space.auxiliary=true", "trainer.drop_path=0.3"} <= set(line)
    assert "trainer.network_cutout=0" in line


def test_cutout_is_off_unless_asked_for_as_in_the_released_scripts() -> None:
    assert "trainer.network_cutout=16" in train_line(["--cutout"])
    assert "trainer.network_cutout=8" in train_line(["--cutout", "--cutout_length", "8"])
    with pytest.raises(ConfigError, match="no effect without --cutout"):
        train_line(["--cutout_length", "8"])


@pytest.mark.parametrize("flag", ["--report_freq=5", "--save=x", "--gpu=0", "--model_path=x"])
def test_a_flag_without_use_is_refused_with_what_to_do(flag: str) -> None:
    with pytest.raises(ConfigError, match=r"has no use here: .*; leave it out"):
        search_line([flag])


def test_the_lines_are_lines_of_nas() -> None:
    for line in (search_line(["--cutout"]), train_line([])):
        assert parse(VERBS[line[0]], line[1:]).overrides
