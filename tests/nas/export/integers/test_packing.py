"""Packed numbers come back, to us and to ONNX."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.export.integers.packing import opset_of, packed_codes, stored_bits


@given(st.sampled_from([2, 4]), st.lists(st.integers(-7, 7), min_size=1, max_size=20))
def test_packed_codes_come_back(bits: int, values: list[int]) -> None:
    most = 2 ** (bits - 1) - 1
    codes = np.clip(np.array(values, np.int8), -most, most)
    packed = packed_codes(codes, bits)
    assert len(packed) == -(-len(values) * bits // 8)
    digits = [byte >> shift & (2**bits - 1) for byte in packed for shift in range(0, 8, bits)]
    found = [digit - 2**bits if digit > most else digit for digit in digits]
    assert found[: len(values)] == codes.tolist()
    assert not any(found[len(values) :])


@pytest.mark.parametrize("bits", [2, 4])
def test_onnx_reads_them_alike(bits: int) -> None:
    onnx = pytest.importorskip("onnx")
    codes = np.random.default_rng(0).integers(-1, 2, size=(3, 5)).astype(np.int8)
    kind = getattr(onnx.TensorProto, f"INT{bits}")
    tensor = onnx.helper.make_tensor("w", kind, (3, 5), packed_codes(codes, bits), raw=True)
    assert np.array_equal(onnx.numpy_helper.to_array(tensor).astype(np.int8), codes)


@pytest.mark.parametrize(
    ("bits", "stored", "opset"), [(8, 8, 20), (5, 8, 20), (4, 4, 21), (3, 4, 21), (2, 2, 25)]
)
def test_few_bits_need_a_newer_version(bits: int, stored: int, opset: int) -> None:
    assert stored_bits(bits) == stored
    assert opset_of(bits, 20) == opset
    assert opset_of(bits, 26) == 26
