"""Lengths and counts, checked before anything is built or written."""

from __future__ import annotations

from omegaconf import DictConfig

from nas.errors import ConfigError

LEAST = {
    "epochs": 1,
    "batch_size": 1,
    "network_epochs": 1,
    "network_batch_size": 1,
    "random_networks": 0,
}


def check_lengths(cfg: DictConfig) -> None:
    """Raise ConfigError naming the setting of ``trainer`` that is no whole number or too small."""
    for name, least in LEAST.items():
        value = cfg.trainer[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(
                f"trainer.{name} must be a whole number of at least {least}, got {value!r}"
            )
    if not 0 <= cfg.trainer.drop_path < 1:
        raise ConfigError(
            f"trainer.drop_path is a probability from 0 to below 1, got {cfg.trainer.drop_path!r}"
        )
