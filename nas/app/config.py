"""What is read off a composed configuration before anything is built; needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from omegaconf import MISSING, DictConfig, OmegaConf

from nas.errors import ConfigError
from nas.instantiate import instantiate, loaded, target_of

if TYPE_CHECKING:
    from nas.data import DataSource


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The resolved configuration in plain containers, without Hydra's own part."""
    return {str(key): _value(cfg, key) for key in cfg if key != "hydra"}


def _value(cfg: DictConfig, key: Any) -> Any:
    if OmegaConf.is_missing(cfg, key):
        return MISSING
    value = cfg[key]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def data_source(cfg: DictConfig) -> DataSource:
    """The data set's settings; nothing is loaded yet."""
    target_of(cfg.data)
    node = {key: value for key, value in cfg.data.items() if key != "augment"}
    made = OmegaConf.create({"data": node})  # so that an error names the group
    source = instantiate(made.data, cfg.plugins)
    for name in ("fingerprint", "load"):
        if not hasattr(source, name):
            raise ConfigError(f"{node.get('_target_')} is no DataSource: it lacks {name}()")
    return cast("DataSource", source)


def places(data: Any, plugins: Sequence[str] = ()) -> tuple[str, ...]:
    """The settings of a data source that its class lists as saying only where the data lie."""
    return tuple(getattr(loaded(target_of(data), plugins), "places", ()))
