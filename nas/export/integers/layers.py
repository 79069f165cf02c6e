"""Layers that hold whole numbers, which can become operators of ONNX while they are traced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.compression.quantized import Layer
from nas.export.integers.codes import InputCodes

OPSET = 20  # of the operators written here
_SETTINGS = (
    *("in_channels", "out_channels", "kernel_size", "stride", "padding"),
    *("dilation", "groups", "padding_mode"),
)


class IntegerInput(nn.Module):
    """Its input on the levels of the codes; ``scale * (code - zero)``, shape as of the input."""

    scale: Tensor
    zero: Tensor
    most: Tensor

    def __init__(self, codes: InputCodes) -> None:
        super().__init__()
        self.codes, self.operators = codes, False
        self.register_buffer("scale", torch.tensor(codes.scale, dtype=torch.float32))
        self.register_buffer("zero", torch.tensor(codes.zero, dtype=torch.uint8))
        self.register_buffer("most", torch.tensor(codes.most, dtype=torch.uint8))

    def forward(self, x: Tensor) -> Tensor:
        """Rounds half to even, as ONNX does."""
        if not self.operators:
            codes = (torch.round(x / self.scale) + self.zero).clamp(min=0)
            return (codes.minimum(self.most) - self.zero) * self.scale
        codes = _operator("QuantizeLinear", (x, self.scale, self.zero), x.shape, torch.uint8)
        if self.codes.most < 255:  # what 8 bits do not clip by themselves
            codes = _operator("Min", (codes, self.most), x.shape, torch.uint8)
        return _operator("DequantizeLinear", (codes, self.scale, self.zero), x.shape)


class IntegerLayer(nn.Module):
    """A convolution or linear layer of stored integers.

    Args:
        plain: a layer of PyTorch's own class; only its settings are read.
        inputs: ``IntegerInput``, or ``nn.Identity`` for inputs in fp32.
        codes: int8, shape as of the weights.
        scale: (outputs,), of the codes; above 0.
        bias: (outputs,) or None.
        bits: of the codes.
    """

    codes: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(
        self,
        plain: Layer,
        inputs: nn.Module,
        codes: Tensor,
        scale: Tensor,
        bias: Tensor | None,
        bits: int,
    ) -> None:
        super().__init__()
        self.plain, self.inputs, self.bits = _settings_of(plain), inputs, bits
        self.operators = False
        self.register_buffer("codes", codes)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    @property
    def input_codes(self) -> InputCodes | None:
        """How its inputs are coded; None where they are in fp32."""
        return self.inputs.codes if isinstance(self.inputs, IntegerInput) else None

    def forward(self, x: Tensor) -> Tensor:
        """As the layer's own class."""
        x, weight = self.inputs(x), self._weight()
        if not isinstance(self.plain, nn.Linear):
            return cast(Tensor, self.plain._conv_forward(x, weight, self.bias))
        return (_linear if self.operators else F.linear)(x, weight, self.bias)

    def _weight(self) -> Tensor:
        if self.operators:
            return _operator("DequantizeLinear", (self.codes, self.scale), self.codes.shape, axis=0)
        return self.codes * self.scale.view(-1, *[1] * (self.codes.dim() - 1))


@contextmanager
def as_operators(net: nn.Module) -> Iterator[None]:
    """Inside, the integers of ``net`` are operators of ONNX: to be traced, not to be computed."""
    parts = [part for part in net.modules() if isinstance(part, IntegerInput | IntegerLayer)]
    for part in parts:
        part.operators = True
    try:
        yield
    finally:
        for part in parts:
            part.operators = False


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(..., features) times (outputs, features); the bias is added in fp32.

    Two axes are what ONNX Runtime computes in integers.
    """
    rows = x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
    y = _operator("Gemm", (rows, weight), (rows.shape[0], weight.shape[0]), transB=1)
    y = y if bias is None else y + bias
    return y if x.dim() == 2 else y.reshape(*x.shape[:-1], weight.shape[0])


def _operator(
    name: str,
    inputs: Sequence[Tensor],
    shape: Sequence[int | torch.SymInt],
    dtype: torch.dtype = torch.float32,
    **attributes: Any,
) -> Tensor:
    """A node of ONNX; ``shape`` and ``dtype`` are those of its one output."""
    return torch.onnx.ops.symbolic(
        name, inputs, attrs=attributes, dtype=dtype, shape=shape, version=OPSET
    )


def _settings_of(layer: Layer) -> Layer:
    """A layer of the same settings without tensors."""
    if isinstance(layer, nn.Linear):
        bare: Layer = nn.Linear(layer.in_features, layer.out_features, False, "meta")
    else:
        make = nn.Conv1d if isinstance(layer, nn.Conv1d) else nn.Conv2d
        settings: dict[str, Any] = {name: getattr(layer, name) for name in _SETTINGS}
        bare = make(**settings, bias=False, device="meta")
    bare.register_parameter("weight", None)
    return bare
