"""Bit operations and bytes against published numbers and a count written anew."""

from __future__ import annotations

import pytest
import torch

from nas.compression import Compressed, Compression
from nas.compression.quantizer import Quantizer
from nas.costs import BitOps, Size, count_bitops
from nas.dataspec import DataSpec
from nas.decision import Choice
from nas.space import blueprint, sample
from nas.supernet import Supernet
from search_spaces.backbones import backbone
from search_spaces.superbit import BackboneSpace

CIFAR100 = DataSpec((3, 32, 32), "classes", 100)
MIB = 1e6


@pytest.mark.parametrize(
    ("name", "full", "four_bits"),
    [("resnet20", 41798.6, 674.6), ("resnet56", 128771.7, 2033.6)],
)
def test_the_published_bit_operations(name: str, full: float, four_bits: float) -> None:
    """Table 1 of ABS (arXiv 2101.04935): fp32, and 4 bits with both ends at 8, in millions."""
    with torch.device("meta"):
        net = backbone(name, CIFAR100)
        assert round(count_bitops(net, (3, 32, 32)) / MIB, 1) == full
        fixed = Compression(weight_bits=(4,), activation_bits=(4,), ends=8).apply(net)
    assert round(count_bitops(fixed, (3, 32, 32)) / MIB, 1) == four_bits


def counted(choices: dict[str, Choice], channels: int, size: int) -> tuple[float, float]:
    """Bit operations and bits of weights of a compressed ResNet-20, from its plan alone."""

    def chosen(layer: str, what: str) -> int:
        return int(choices[f"features/{layer}/{what}"])  # type: ignore[arg-type]

    def width(layer: str, full: int) -> int:
        share = choices.get(f"features/{layer}/width", 1.0)
        return max(1, round(float(share) * full))  # type: ignore[arg-type]

    def bits(layer: str) -> tuple[int, int]:
        return chosen(layer, "weight_bits"), chosen(layer, "activation_bits")

    ops = 3 * channels * 9 * size**2 * 64.0
    stored = 3 * channels * 9 * 8.0
    before = channels
    for stage in range(3):
        full = channels * 2**stage
        for block in range(3):
            place = f"stage{stage + 1}/{block}"
            if stage and not block:
                size //= 2
            inner = width(f"{place}/body/conv1/conv", full)
            rows = [(f"{place}/body/conv1/conv", before, inner, 9)]
            rows.append((f"{place}/body/conv2/conv", inner, full, 9))
            if before != full:
                rows.append((f"{place}/shortcut/conv", before, full, 1))
            for name, c_in, c_out, taps in rows:
                weights, inputs = bits(name)
                ops += c_in * c_out * taps * size**2 * weights * inputs
                stored += c_in * c_out * taps * weights
            before = full
    return ops + before * 100 * 64, stored + before * 100 * 8


def test_fifty_random_assignments_equal_an_independent_count() -> None:
    space = Compressed(
        BackboneSpace(CIFAR100, "resnet20", {"channels": 8}),
        Compression(widths=(0.25, 0.5, 0.75, 1.0)),
    )
    net = blueprint(space)
    known, cost, size = Supernet(net).decisions, BitOps(net, (3, 32, 32)), Size(net)
    generator = torch.Generator().manual_seed(0)
    rest = None
    for _ in range(50):
        choices = sample(space, generator)
        chosen = {
            name: tuple(i for row in known[name].positions(choice) for i in row)
            for name, choice in choices.items()
        }
        ops, stored = counted(choices, 8, 32)
        assert cost.exact(chosen) == pytest.approx(ops)
        norms = sum(
            max(1, round(float(choice) * 8 * 2 ** (int(name[14]) - 1)))  # type: ignore[arg-type]
            for name, choice in choices.items()
            if name.endswith("width")
        )
        left = size.exact(chosen) * 1000 - stored / 8 - 16 * norms  # four numbers per channel
        rest = left if rest is None else rest
        assert left == pytest.approx(rest)  # what no decision touches


def test_layers_in_fp32_count_with_32_bits() -> None:
    net = Compression(weight_bits=(2,), activation_bits=None, ends=None).apply(
        backbone("resnet20", CIFAR100, channels=4)
    )
    plain = backbone("resnet20", CIFAR100, channels=4)
    quantized = [m for m in net.modules() if isinstance(m, Quantizer)]
    assert {q.bits for q in quantized} == {(2,)}
    ends = 3 * 4 * 9 * 32**2 + 16 * 100
    inner = count_bitops(plain, (3, 32, 32)) / 1024 - ends
    assert count_bitops(net, (3, 32, 32)) == inner * 2 * 32 + ends * 1024
