"""Proxies by how differently a network treats the samples of a batch; labels or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nas.errors import NasError
from nas.proxies.probe import Probe

_SMALL = 1e-5  # k of arXiv 2006.04647, added to eigenvalues and correlations
_WORST = float("-inf")


def naswot(probe: Probe) -> float:
    """``log |det K|``, K_ij the number of ReLU outputs that are on or off for both samples i and j.

    K is N_A minus the Hamming distance of the binary codes (arXiv 2006.04647, eq. 2). -inf where
    two samples have one code. Raises NasError for a network without ReLU.
    """
    codes = _Codes()
    with torch.no_grad(), codes:
        probe.net(probe.inputs)
    if codes.kernel is None:
        raise NasError("naswot needs a network with ReLU, this one has none; leave it out")
    return float(torch.linalg.slogdet(codes.kernel).logabsdet)


class _Codes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the kernel of all ReLUs that run inside, modules or functions."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernel: Tensor | None = None

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten.relu.default, torch.ops.aten.relu_.default):
            on = (output > 0).flatten(1).float()  # counts below 2^24 are exact
            both = on @ on.T + (1 - on) @ (1 - on).T
            self.kernel = both.double() + (0 if self.kernel is None else self.kernel)
        return output


def jacov(probe: Probe) -> float:
    """``-sum_i log(v_i + k) + 1 / (v_i + k)``, v the eigenvalues of the gradients' correlations.

    Of the gradients of the sum of outputs by each input (first version of arXiv 2006.04647;
    ``jacob_cov`` of arXiv 2101.08134). -inf where an input has no influence.
    """
    correlations = torch.corrcoef(probe.jacobian)
    if not bool(torch.isfinite(correlations).all()):
        return _WORST
    values = torch.linalg.eigvalsh(correlations) + _SMALL
    return -float((values.log() + 1 / values).sum())


def epe_nas(probe: Probe) -> float:
    """``sum_c |sum_ij log(|C_ij| + k)|``, C the gradients' correlations inside class c.

    Classes of one sample add next to nothing (arXiv 2102.08099, for up to 100 classes). -inf where
    an input has no influence. Raises NasError for targets that are no classes (N,).
    """
    targets = probe.targets
    if not isinstance(targets, Tensor) or targets.dim() != 1 or targets.is_floating_point():
        raise NasError("epe_nas needs targets that are classes (N,); leave it out for other tasks")
    score = 0.0
    for number in sorted(set(targets.tolist())):
        rows = probe.jacobian[targets == number]
        # torch gives a number without axes for a single row
        correlations = torch.corrcoef(rows).reshape(len(rows), -1)
        if not bool(torch.isfinite(correlations).all()):
            return _WORST
        score += abs(float((correlations.abs() + _SMALL).log().sum()))
    return score
