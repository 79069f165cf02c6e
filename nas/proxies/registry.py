"""Which proxies there are, and all that are wanted of one network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from torch import nn

from nas.batch import Batch
from nas.errors import ConfigError, nearest
from nas.proxies.gradients import fisher, grad_norm, grasp, plain, snip
from nas.proxies.paths import synflow
from nas.proxies.probe import Loss, Probe
from nas.proxies.samples import epe_nas, jacov, naswot
from nas.proxies.sizes import flops, l2_norm, params

PROXIES: Mapping[str, Callable[[Probe], float]] = MappingProxyType(
    {
        made.__name__: made
        for made in (
            *(synflow, snip, grasp, fisher, grad_norm, naswot, jacov, flops, params),
            *(plain, l2_norm, epe_nas),
        )
    }
)
"""By name; of each, more is taken for better."""
DEFAULT = tuple(PROXIES)[:9]


def known(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once; ConfigError for one that is no proxy, or for none."""
    found = tuple(dict.fromkeys(names))
    for name in found:
        if name not in PROXIES:
            raise ConfigError(
                f"unknown proxy {name!r}; there are {', '.join(PROXIES)}{nearest(name, PROXIES)}"
            )
    if not found:
        raise ConfigError(f"proxies are empty; there are {', '.join(PROXIES)}")
    return found


def scores(
    net: nn.Module, batch: Batch, loss: Loss, names: Iterable[str] = DEFAULT
) -> dict[str, float]:
    """The wanted proxies of a network, which is left as it was.

    Args:
        net: as of `Probe`.
        batch: as of `Probe`.
        loss: as of `Probe`.
        names: of ``PROXIES``.

    Returns:
        By name; not finite where the network has no path, or two samples cannot be told apart.

    Raises:
        ConfigError: for an unknown name.
        NasError: a proxy cannot be computed of such a network, batch or task; it says why.
    """
    wanted = known(names)
    probe = Probe(net, batch, loss)
    return {name: PROXIES[name](probe) for name in wanted}
