"""Codes of few bits, several in a byte."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_OPSETS = {2: 25, 4: 21}  # the first version of ONNX with numbers of so many bits
INT2_FORMAT = 13  # the first format of files with int2


def stored_bits(bits: int) -> int:
    """What codes of ``bits`` take in a file: 2, 4 or 8."""
    return next((each for each in _OPSETS if bits <= each), 8)


def opset_of(bits: int, least: int) -> int:
    """The version of ONNX that such codes need: 21 with 4 bits, 25 with 2, else ``least``."""
    return max(least, _OPSETS.get(stored_bits(bits), least))


def packed_codes(codes: NDArray[Any], bits: int) -> bytes:
    """Codes in two's complement, the first one lowest in its byte; zeros fill the last byte."""
    each = 8 // bits
    flat = codes.astype(np.uint8).ravel() & ((1 << bits) - 1)
    rows = np.pad(flat, (0, -len(flat) % each)).reshape(-1, each)
    shifted = rows << (bits * np.arange(each, dtype=np.uint8))
    return bytes(np.bitwise_or.reduce(shifted, axis=1).astype(np.uint8))
