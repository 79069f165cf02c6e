from __future__ import annotations

import pytest

from nas.analysis.operations import brief_label, clipped, family, plain_name, short_label


@pytest.mark.parametrize(
    ("operation", "short", "brief", "kind"),
    [
        ("sep_conv_3x3", "sep 3x3", "sep3", "separable"),
        ("dil_conv_5x5", "dil 5x5", "dil5", "dilated"),
        ("max_pool_3x3", "max pool", "max", "pool"),
        ("avg_pool_3x3", "avg pool", "avg", "pool"),
        ("max_pool_5x5", "max pool 5x5", "max5", "pool"),
        ("skip_connect", "skip", "skip", "skip"),
        ("identity", "skip", "skip", "skip"),
        ("none", "none", "none", "none"),
        ("nor_conv_1x1", "conv 1x1", "conv1", "conv"),
        ("conv_7x1_1x7", "conv 7x1 1x7", "conv7x1_1x7", "conv"),
        ("attention", "attention", "attention", "other"),
        ("", "", "", "concat"),
    ],
)
def test_names_are_shortened_and_sorted_into_families(
    operation: str, short: str, brief: str, kind: str
) -> None:
    assert (short_label(operation), brief_label(operation)) == (short, brief)
    assert family(operation) == kind


def test_long_names_are_cut_with_an_ellipsis() -> None:
    assert len(short_label("an_operation_with_a_very_long_name")) <= 22
    assert short_label("an_operation_with_a_very_long_name").endswith("...")
    assert clipped("abc", 3) == "abc"


def test_plain_name_drops_math_marks() -> None:
    assert plain_name("c_{k-2}") == "c_k-2"
