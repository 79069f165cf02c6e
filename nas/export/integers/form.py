"""In which integers a layer is computed, so that no processor has to round on its way."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_CODE, MOST_INPUT = 127, 255
# Two products of 8-bit numbers are added up in 16 bits, which saturate, by the instruction that
# runtimes use for unsigned times signed ones on x86 without VNNI (VPMADDUBSW).
MOST_PAIR = 2**15 - 1


@dataclass(frozen=True)
class Form:
    """How stored codes enter the computation of a layer.

    Attributes:
        gain: (outputs,), whole numbers; the codes of the weights are multiplied by these and their
            scale is divided by them, so that a bias in units of the accumulator is fine enough.
        unsigned: whether weights are computed as unsigned numbers around 128, which no instruction
            saturates.
        shift: by how many bits the codes of an input of few bits are moved up, for the same end.
    """

    gain: Tensor
    unsigned: bool
    shift: int


def form_of(codes: Tensor, most: int, wanted: float = 0.0) -> Form:
    """The form of a layer that is computed in integers.

    Signed weights where no two products can leave 16 bits, whatever the input; else unsigned ones.

    Args:
        codes: (outputs, ...), whole numbers.
        most: the largest code of an input.
        wanted: what one step of the accumulator should be at most, in products of one code of the
            input and one of the weights; 0 if it does not matter.
    """
    largest = codes.abs().flatten(1).amax(1).clamp_min(1)
    gain, pair = MOST_CODE // largest, most * _pair(codes)
    signed = torch.minimum(gain, MOST_PAIR // pair)
    unsigned = not bool((signed >= 1).all())
    gain = gain if unsigned else signed
    room = MOST_INPUT / most
    if not unsigned:
        room = min(room, float((MOST_PAIR / (gain * pair)).min()))
    needed = 1 / (wanted * float(gain.min())) if wanted else 1.0
    shift = max(0, min(math.ceil(math.log2(needed)), math.floor(math.log2(room))))
    return Form(gain.to(torch.int32), unsigned, shift)


def _pair(codes: Tensor) -> Tensor:
    """(outputs,), the largest sum of two weights of one sign, at least 1."""
    rows = codes.flatten(1)
    both = torch.stack([rows, -rows]).clamp_min(0)
    top = both.topk(min(2, rows.shape[1]), dim=-1).values
    return top.sum(-1).amax(0).clamp_min(1)
