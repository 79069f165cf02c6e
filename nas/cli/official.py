"""The well-known flags of the released DARTS and PC-DARTS scripts, as settings of ``nas``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

from nas import console
from nas.errors import ConfigError

SEARCH = {
    "data": "data.root",
    "set": "data",
    "batch_size": "trainer.batch_size",
    "learning_rate": "optim.weights.lr",
    "learning_rate_min": "optim.weights_schedule.minimum",
    "momentum": "optim.weights.momentum",
    "weight_decay": "optim.weights.weight_decay",
    "epochs": "trainer.epochs",
    "init_channels": "space.channels",
    "layers": "space.cells",
    "cutout_length": "data.augment.cutout",
    "seed": "seed",
    "grad_clip": "strategy.update.clip",
    "arch_learning_rate": "optim.architecture.lr",
    "arch_weight_decay": "optim.architecture.weight_decay",
}
TRAIN = {
    "data": "data.root",
    "set": "data",
    "batch_size": "trainer.network_batch_size",
    "learning_rate": "optim.network.lr",
    "momentum": "optim.network.momentum",
    "weight_decay": "optim.network.weight_decay",
    "epochs": "trainer.network_epochs",
    "init_channels": "space.network_channels",
    "layers": "space.network_cells",
    "auxiliary_weight": "trainer.auxiliary_weight",
    "cutout_length": "trainer.network_cutout",
    "drop_path_prob": "trainer.drop_path",
    "seed": "seed",
    "grad_clip": "trainer.network_clip",
}
GONE = {
    "report_freq": "figures are written once per epoch",
    "model_path": "a run's folder holds its checkpoints",
    "save": "runs=FOLDER says where runs go",
    "gpu": "device=cuda takes the GPU; CUDA_VISIBLE_DEVICES says which",
}
CUTOUT = 16  # the flag's default length


def search_line(args: Sequence[str]) -> list[str]:
    """The line of ``nas`` for the flags of ``train_search.py``; ConfigError for one without use."""
    parser = _parser("train_search.py", SEARCH)
    parser.add_argument("--unrolled", action="store_true", help="strategy=darts_2nd")
    parser.add_argument("--train_portion", type=float, help="1 - data.architecture")
    given, rest = parser.parse_known_args(args)
    line = [
        "search",
        "experiment=pc_darts_cifar10",
        "preset=paper",
        *_settings(given, SEARCH, rest),
    ]
    if given.unrolled:
        line.append("strategy=darts_2nd")
    if given.train_portion is not None:
        line.append(f"data.architecture={round(1 - given.train_portion, 6)}")
    return [*line, *rest]


def train_line(args: Sequence[str]) -> list[str]:
    """The line of ``nas`` for the flags of ``train.py``; ConfigError for one without use."""
    parser = _parser("train.py", TRAIN)
    parser.add_argument("--arch", default="PC_DARTS_cifar", help="genotype: name, file or run")
    parser.add_argument("--auxiliary", action="store_true", help="space.auxiliary=true")
    given, rest = parser.parse_known_args(args)
    settings = _settings(given, TRAIN, rest)
    if "trainer.network_cutout" not in " ".join(settings):
        settings.append("trainer.network_cutout=0")  # both are off there unless asked for
    settings.append(f"space.auxiliary={str(given.auxiliary).lower()}")
    return ["retrain", given.arch, "experiment=pc_darts_cifar10", "preset=paper", *settings, *rest]


def run(line: Sequence[str]) -> int:
    """Print the equivalent command and run it; returns its exit status."""
    from nas.cli import main

    console.say(f"nas {shlex.join(line)}")
    return main(list(line))


def _parser(name: str, flags: dict[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(name, allow_abbrev=False, argument_default=None)
    for flag, setting in flags.items():
        parser.add_argument(f"--{flag}", help=f"{setting}=...")
    parser.add_argument("--cutout", action="store_true", help=f"--cutout_length {CUTOUT}")
    return parser


def _settings(given: argparse.Namespace, flags: dict[str, str], rest: Sequence[str]) -> list[str]:
    for word in rest:
        flag = word.partition("=")[0].removeprefix("--")
        if word.startswith("--") and flag in GONE:
            raise ConfigError(f"--{flag} has no use here: {GONE[flag]}; leave it out")
    if given.cutout_length is not None and not given.cutout:
        raise ConfigError("--cutout_length has no effect without --cutout")
    if given.cutout and given.cutout_length is None:
        given.cutout_length = CUTOUT
    values = {setting: getattr(given, flag) for flag, setting in flags.items()}
    return [f"{setting}={value}" for setting, value in values.items() if value is not None]
