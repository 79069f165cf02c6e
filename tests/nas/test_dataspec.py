import json
import subprocess
import sys

import pytest

from nas.dataspec import DataSpec
from nas.errors import NasError


def test_an_image_specification_knows_its_parts() -> None:
    spec = DataSpec((3, 32, 24), "classes", 10, mean=(0.5,) * 3, std=(0.2,) * 3)
    assert (spec.channels, spec.dims, spec.size) == (3, 2, (32, 24))


def test_a_sequence_has_one_dimension() -> None:
    spec = DataSpec((4, 100), "multi-label", 5)
    assert (spec.channels, spec.dims, spec.size) == (4, 1, (100,))


def test_lists_become_tuples_so_that_a_specification_can_be_hashed() -> None:
    spec = DataSpec([1, 8, 8], "classes", 2, ["a", "b"], [0.1], [0.2])  # type: ignore[arg-type]
    assert hash(spec) == hash(DataSpec((1, 8, 8), "classes", 2, ("a", "b"), (0.1,), (0.2,)))


def test_the_record_survives_json() -> None:
    spec = DataSpec((1, 8, 8), "classes", 2, ("a", "b"), (0.1,), (0.2,))
    assert DataSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_record_with_other_keys_is_refused() -> None:
    with pytest.raises(NasError, match=r"has the keys input_shape, .*got shape, kind"):
        DataSpec.from_json({"shape": [1, 8, 8], "kind": "classes"})


@pytest.mark.parametrize("shape", [(), (3,), (3, 0), (3, 8, 8, 8), (3, 8.0), (True, 8)])
def test_a_shape_without_channels_or_space_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(NasError, match=r"input_shape must be .*leave the batch axis out"):
        DataSpec(shape, "classes", 2)


def test_a_mistyped_kind_is_answered_with_the_nearest() -> None:
    with pytest.raises(NasError, match="got 'class'; did you mean 'classes'"):
        DataSpec((1, 8), "class", 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "outputs"), [("classes", 1), ("image", 0), ("dense", 1.5)])
def test_too_few_outputs_are_refused(kind: str, outputs: int) -> None:
    with pytest.raises(NasError, match=f"{kind}.*outputs of at least [12], got {outputs}"):
        DataSpec((1, 8), kind, outputs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ("a",)}, "1 class names were given for 2 outputs"),
        ({"classes": ("a", "a")}, "class names must be distinct"),
        ({"mean": (0.5,)}, "mean has 1 and std has 0 entries for 3 input channels"),
        ({"mean": (0.5,), "std": (1.0,)}, "one of each per channel"),
        ({"mean": (0.5,) * 3, "std": (1.0, 0.0, 1.0)}, "above 0"),
        ({"mean": (float("nan"),) * 3, "std": (1.0,) * 3}, "mean must be finite"),
        ({"mean": (0.5,) * 3, "std": (float("nan"),) * 3}, "std finite"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(NasError, match=message):
        DataSpec((3, 8, 8), "classes", 2, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "given", "found"),
    [
        ("classes", (), ()),
        ("multi-label", (), ()),
        ("dense", (), (8, 6)),
        ("dense", (8, 6), (8, 6)),
        ("image", (), (8, 6)),
        ("image", [16, 12], (16, 12)),
    ],
)
def test_outputs_have_the_size_of_inputs_unless_an_image_says_otherwise(
    kind: str, given: tuple[int, ...], found: tuple[int, ...]
) -> None:
    spec = DataSpec((1, 8, 6), kind, 2, output_size=given)  # type: ignore[arg-type]
    assert spec.output_size == found
    assert DataSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    older = {key: value for key, value in spec.to_json().items() if key != "output_size"}
    assert DataSpec.from_json(older).kind == kind


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("classes", (8, 6)),
        ("multi-label", (1,)),
        ("dense", (16, 12)),
        ("image", (16,)),
        ("image", (16, 0)),
        ("image", (16, 12.0)),
    ],
)
def test_another_output_size_is_refused(kind: str, given: tuple[int, ...]) -> None:
    with pytest.raises(NasError, match=r"output_size must be the 2 spatial axes.*leave it out"):
        DataSpec((1, 8, 6), kind, 2, output_size=given)  # type: ignore[arg-type]


def test_it_is_found_without_torch() -> None:
    code = "import sys, nas.dataspec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
