"""Whatever comes in, no two products leave 16 bits; and no gain could be larger."""

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nas.export.integers.form import form_of


def worst_pair(row: Tensor, most: int) -> int:
    """The largest sum of two products with codes from 0 to ``most``, by trying all."""
    sums = [
        abs(a * x + b * y)
        for a, b in combinations([int(each) for each in row], 2)
        for x in (0, most)
        for y in (0, most)
    ]
    return max(sums, default=max(abs(int(each)) * most for each in row))


@given(
    st.lists(st.lists(st.integers(-127, 127), min_size=5, max_size=5), min_size=1, max_size=3),
    st.sampled_from([2, 3, 14, 15, 127, 254, 255]),
    st.floats(1e-6, 1.0),
)
def test_signed_weights_saturate_nothing(rows: list[list[int]], most: int, wanted: float) -> None:
    codes = torch.tensor(rows).double()
    form = form_of(codes, most, wanted)
    assert (form.gain >= 1).all()
    assert most << form.shift <= 255
    for row, gain in zip(codes, form.gain.tolist(), strict=True):
        assert (row * gain).abs().max() <= 127
        if not form.unsigned:
            assert worst_pair(row * gain, most << form.shift) <= 2**15 - 1
        grown = row * (gain + 1)
        if row.any():
            bound = grown.abs().max() > 127
            assert bound or (not form.unsigned and worst_pair(grown, most) > 2**15 - 1)
    if form.unsigned:
        assert any(worst_pair(row, most) > 2**15 - 1 for row in codes)


@pytest.mark.parametrize(
    ("code", "most", "gain", "unsigned"),
    [(127, 255, 1, True), (127, 127, 1, False), (63, 255, 1, False), (7, 15, 18, False)],
    ids=["8 by 8 bits", "8 by 7 bits", "7 by 8 bits", "4 by 4 bits"],
)
def test_which_bits_are_signed(code: int, most: int, gain: int, unsigned: bool) -> None:
    form = form_of(torch.tensor([[code, code, -code]]).double(), most)
    assert (form.unsigned, form.shift) == (unsigned, 0)
    assert form.gain.tolist() == [gain]


def test_inputs_of_few_bits_move_up_only_where_a_finer_bias_is_wanted() -> None:
    codes = torch.tensor([[7, -7, 3]]).double()
    assert form_of(codes, 3, wanted=1.0).shift == 0
    assert form_of(codes, 3, wanted=1 / (18 * 4)).shift == 2
    assert form_of(codes, 3, wanted=1e-9).shift == 5  # 3 * 32 * (126 + 126) is below 2^15
