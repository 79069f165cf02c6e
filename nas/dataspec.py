"""What a network has to know about a data set, in one place and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from nas.errors import NasError, nearest

Kind = Literal["classes", "multi-label", "dense", "image"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class DataSpec:
    """Shape of one input, kind of its target and number of outputs.

    Attributes:
        input_shape: ``(C, L)`` or ``(C, H, W)`` of one input, without the batch axis.
        kind: ``classes`` (one of several), ``multi-label`` (any of several), ``dense`` (one target
            per position of the input) or ``image`` (an image out, of ``output_size``).
        outputs: number of classes, labels or output channels.
        classes: their names in order, or empty.
        mean: per input channel, after uint8 was scaled to [0, 1]; empty means no normalization.
        std: like ``mean``; all above 0.
        output_size: the spatial axes of an output: of kind ``image`` any, by default the input's,
            which it always is of kind ``dense``; empty for classes and labels.

    Raises:
        NasError: if a shape, a kind or a number of entries is not allowed.
    """

    input_shape: tuple[int, ...]
    kind: Kind
    outputs: int
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    output_size: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("input_shape", "classes", "mean", "std", "output_size"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_shape()
        self._check_outputs()
        if self.kind in ("dense", "image") and not self.output_size:
            object.__setattr__(self, "output_size", self.size)
        self._check_output_size()
        self._check_normalization()

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return self.input_shape[0]

    @property
    def dims(self) -> int:
        """Number of spatial axes: 1 for sequences, 2 for images."""
        return len(self.input_shape) - 1

    @property
    def size(self) -> tuple[int, ...]:
        """The spatial axes: ``(L,)`` or ``(H, W)``."""
        return self.input_shape[1:]

    def to_json(self) -> dict[str, Any]:
        """A JSON-able record of this specification."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> DataSpec:
        """The specification that ``to_json`` recorded; raises NasError for other keys."""
        try:
            return cls(**record)
        except TypeError as error:
            raise NasError(
                f"a data specification has the keys {', '.join(cls.__dataclass_fields__)}, "
                f"got {', '.join(map(str, record))}; write it anew with DataSpec.to_json"
            ) from error

    def _check_shape(self) -> None:
        shape = self.input_shape
        if len(shape) not in (2, 3) or not all(_whole(n) and n >= 1 for n in shape):
            raise NasError(
                f"input_shape must be (channels, length) or (channels, height, width) with whole "
                f"numbers of at least 1, got {shape}; leave the batch axis out"
            )

    def _check_outputs(self) -> None:
        if self.kind not in KINDS:
            raise NasError(
                f"kind of data must be one of {', '.join(KINDS)}, "
                f"got {self.kind!r}{nearest(str(self.kind), KINDS)}"
            )
        least = 2 if self.kind == "classes" else 1
        if not _whole(self.outputs) or self.outputs < least:
            raise NasError(
                f"data of kind {self.kind!r} needs a whole number of outputs of at least {least}, "
                f"got {self.outputs!r}; give the number of classes, labels or output channels"
            )
        if self.classes and len(self.classes) != self.outputs:
            raise NasError(
                f"{len(self.classes)} class names were given for {self.outputs} outputs; "
                "give one name per output, or none"
            )
        if len(set(self.classes)) != len(self.classes):
            raise NasError(f"class names must be distinct, got {self.classes}; rename the repeated")

    def _check_output_size(self) -> None:
        given = self.output_size
        allowed = {"image": given, "dense": self.size}.get(self.kind, ())
        fits = len(given) in (0, self.dims) and all(_whole(n) and n >= 1 for n in given)
        if given != allowed or not fits:
            raise NasError(
                f"output_size must be the {self.dims} spatial axes of an output of kind 'image', "
                f"got {given} for inputs of {self.size} and kind {self.kind!r}; leave it out where "
                "it is the input's, and for other kinds"
            )

    def _check_normalization(self) -> None:
        if len(self.mean) != len(self.std) or len(self.mean) not in (0, self.channels):
            raise NasError(
                f"mean has {len(self.mean)} and std has {len(self.std)} entries for "
                f"{self.channels} input channels; give one of each per channel, or neither"
            )
        # written so that NaN fails too
        if not all(abs(m) < float("inf") for m in self.mean) or not all(
            0 < s < float("inf") for s in self.std
        ):
            raise NasError(
                f"mean must be finite and std finite and above 0, got {self.mean} and {self.std}; "
                "leave both out for data without normalization"
            )


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
