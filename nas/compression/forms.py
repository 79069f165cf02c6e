"""Three ways to write a layer as two of lower rank, each as a matrix and as a pair of layers.

A weight (N, C, kh, kw) becomes a matrix, or one for each filter; a product ``left @ right`` of rank
``r`` in its place is the weight of two plain layers that run one after the other. A ``Conv1d`` has
``kh = 1``, a ``Linear`` ``kh = kw = 1``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from torch import Tensor, nn

from nas.errors import SpaceError, nearest

Layer = nn.Conv1d | nn.Conv2d | nn.Linear
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)
Sizes = tuple[int, int, int, int]  # N, C, kh, kw


class Factorized(nn.Sequential):
    """A layer as two plain ones of lower rank: ``first``, then ``second``."""

    first: Layer
    second: Layer

    def __init__(self, first: Layer, second: Layer) -> None:
        super().__init__()
        self.first, self.second = first, second


class Form(Protocol):
    """A way to take a weight apart."""

    @property
    def name(self) -> str:
        """What settings call it."""
        ...

    def matrix_size(self, sizes: Sizes) -> tuple[int, int]:
        """Rows and columns of a matrix."""
        ...

    def matrix(self, weight: Tensor) -> Tensor:
        """A weight (N, C, kh, kw) as (..., rows, columns)."""
        ...

    def weight(self, matrix: Tensor, sizes: Sizes) -> Tensor:
        """The weight (N, C, kh, kw) of matrices: what ``matrix`` undoes."""
        ...

    def pair(self, layer: Layer, rank: int) -> Factorized:
        """Two layers in place of ``layer``, freshly initialized, on the current device."""
        ...

    def weights(self, left: Tensor, right: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """Those of the pair, from (..., rows, r) and (..., r, columns), up to their last shape."""
        ...


class Channel:
    """``r`` filters of the whole kernel, then a 1x1 convolution: a matrix (N, C kh kw)."""

    name = "channel"

    def matrix_size(self, sizes: Sizes) -> tuple[int, int]:
        """Output channels, and all that one of them reads."""
        n, c, kh, kw = sizes
        return n, c * kh * kw

    def matrix(self, weight: Tensor) -> Tensor:
        """(N, C kh kw)."""
        return weight.flatten(1)

    def weight(self, matrix: Tensor, sizes: Sizes) -> Tensor:
        """(N, C, kh, kw)."""
        return matrix.reshape(sizes)

    def pair(self, layer: Layer, rank: int) -> Factorized:
        """Stride, padding and dilation are the first one's."""
        n, c, *_ = sizes_of(layer)
        axes = range(axes_of(layer))
        return Factorized(_like(layer, c, rank, axes), _like(layer, rank, n, (), bias=True))

    def weights(self, left: Tensor, right: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """(r, C kh kw) and (N, r)."""
        return right, left


class Spatial:
    """``r`` filters along the height, then filters along the width: a matrix (C kh, N kw).

    Filters along the length of a ``Conv1d`` follow a 1x1 convolution.
    """

    name = "spatial"

    def matrix_size(self, sizes: Sizes) -> tuple[int, int]:
        """What either factor sees of the kernel."""
        n, c, kh, kw = sizes
        return c * kh, n * kw

    def matrix(self, weight: Tensor) -> Tensor:
        """(C kh, N kw)."""
        n, c, kh, kw = weight.shape
        return weight.permute(1, 2, 0, 3).reshape(c * kh, n * kw)

    def weight(self, matrix: Tensor, sizes: Sizes) -> Tensor:
        """(N, C, kh, kw)."""
        n, c, kh, kw = sizes
        return matrix.reshape(c, kh, n, kw).permute(2, 0, 1, 3)

    def pair(self, layer: Layer, rank: int) -> Factorized:
        """Stride, padding and dilation of each axis are those of the one that runs along it."""
        n, c, *_ = sizes_of(layer)
        axes = axes_of(layer)
        first = _like(layer, c, rank, range(axes - 1))
        return Factorized(first, _like(layer, rank, n, range(max(axes - 1, 0), axes), bias=True))

    def weights(self, left: Tensor, right: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """(r, C kh) and (N, r, kw)."""
        n, _, _, kw = sizes
        return left.T, right.reshape(-1, n, kw).transpose(0, 1)


class Decouple:
    """``r`` 1x1 convolutions, each with a depthwise one behind it, summed: N matrices (C, kh kw).

    The sum over the paths is that of a convolution in N groups of ``r`` channels (network
    decoupling, arXiv 1808.05517).
    """

    name = "decouple"

    def matrix_size(self, sizes: Sizes) -> tuple[int, int]:
        """Input channels, and the positions of a kernel."""
        _, c, kh, kw = sizes
        return c, kh * kw

    def matrix(self, weight: Tensor) -> Tensor:
        """(N, C, kh kw)."""
        return weight.flatten(2)

    def weight(self, matrix: Tensor, sizes: Sizes) -> Tensor:
        """(N, C, kh, kw)."""
        return matrix.reshape(sizes)

    def pair(self, layer: Layer, rank: int) -> Factorized:
        """Stride, padding and dilation are the second one's, in N groups."""
        n, c, *_ = sizes_of(layer)
        first = _like(layer, c, n * rank, ())
        axes = range(axes_of(layer))
        return Factorized(first, _like(layer, n * rank, n, axes, groups=n, bias=True))

    def weights(self, left: Tensor, right: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor]:
        """(N r, C) and (N, r, kh kw)."""
        return left.transpose(-1, -2).flatten(0, 1), right


FORMS: dict[str, Form] = {form.name: form for form in (Channel(), Spatial(), Decouple())}


def form_of(name: str) -> Form:
    """The form of a name; SpaceError for another one."""
    if name not in FORMS:
        raise SpaceError(
            f"there is no form {name!r} of low rank; known are {', '.join(FORMS)}"
            f"{nearest(str(name), FORMS)}"
        )
    return FORMS[name]


def why_not(layer: nn.Module, form: str) -> str:
    """Why a layer cannot be taken apart in this form, and what to do; empty where it can."""
    known = form_of(form)
    if type(layer) not in LAYERS:
        return (
            f"is a {type(layer).__name__}, and low rank is for PyTorch's own Conv1d, Conv2d and "
            "Linear; choose other layers"
        )
    if getattr(layer, "groups", 1) > 1:
        return (
            f"is a convolution in {layer.groups} groups, whose channels are not mixed; choose "
            "layers with groups=1"
        )
    if isinstance(known, Decouple) and not isinstance(layer, nn.Conv2d):
        return (
            f"is a {type(layer).__name__}, which cannot be decoupled into 1x1 and depthwise 2-D "
            "convolutions; use form 'channel'"
        )
    return ""


def check_layer(layer: nn.Module, form: str, name: str = "layer") -> Form:
    """The form; SpaceError with the layer's name where it cannot be taken apart so."""
    if why := why_not(layer, form):
        raise SpaceError(f"{name!r} {why}")
    return form_of(form)


def sizes_of(layer: Layer) -> Sizes:
    """Output channels, input channels, and both sides of the kernel, each 1 where there is none."""
    if isinstance(layer, nn.Linear):
        return layer.out_features, layer.in_features, 1, 1
    kh, kw = (1, *layer.kernel_size)[-2:]
    return layer.out_channels, layer.in_channels, kh, kw


def axes_of(layer: Layer) -> int:
    """How many axes a kernel has."""
    return 0 if isinstance(layer, nn.Linear) else len(layer.kernel_size)


def _like(
    layer: Layer,
    c_in: int,
    c_out: int,
    axes: Collection[int],
    *,
    groups: int = 1,
    bias: bool = False,
) -> Layer:
    """A layer with the settings of ``layer`` along ``axes`` and none along the others."""
    dtype, bias = layer.weight.dtype, bias and layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(c_in, c_out, bias, dtype=dtype)

    def along(values: tuple[int, ...], neutral: int) -> tuple[int, ...]:
        return tuple(v if axis in axes else neutral for axis, v in enumerate(values))

    make = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.Conv1d
    padding = layer.padding
    return make(
        c_in,
        c_out,
        along(layer.kernel_size, 1),  # type: ignore[arg-type]
        along(layer.stride, 1),  # type: ignore[arg-type]
        padding if isinstance(padding, str) else along(padding, 0),  # type: ignore[arg-type]
        along(layer.dilation, 1),  # type: ignore[arg-type]
        groups,
        bias,
        layer.padding_mode if axes else "zeros",
        dtype=dtype,
    )
