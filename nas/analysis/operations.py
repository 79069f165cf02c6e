"""Short names and families of operations, shared by pictures and terminal text."""

import re

_FAMILIES = {
    "sep": "separable",
    "dil": "dilated",
    "max": "pool",
    "avg": "pool",
    "pool": "pool",
    "skip": "skip",
    "identity": "skip",
    "none": "none",
    "zero": "none",
    "conv": "conv",
    "nor": "conv",
    "std": "conv",
    "mb": "conv",
    "mbconv": "conv",
}
_LONGEST = 22


def family(operation: str) -> str:
    """Name the family of an operation, which fixes its color in every picture.

    One of ``separable dilated pool skip none conv other``, or ``concat`` for the empty name.
    """
    if not operation:
        return "concat"
    words = operation.lower().split("_")
    first = _FAMILIES.get(words[0])
    if first:
        return first
    return "conv" if any(word.startswith("conv") for word in words) else "other"


def short_label(operation: str) -> str:
    """Shorten an operation's name for a picture: ``sep_conv_3x3`` becomes ``sep 3x3``."""
    words = operation.split("_")
    kind = family(operation)
    if operation in ("skip_connect", "identity"):
        return "skip"
    if kind == "pool" and words[-1] == "3x3":
        words = words[:-1]
    elif kind in ("separable", "dilated") or words[0] == "nor":
        words = [word for word in words if word != "conv"]
        words = ["conv", *words[1:]] if words[0] == "nor" else words
    return clipped(" ".join(words).strip())


def brief_label(operation: str) -> str:
    """Shorten a name further, for one line of text: ``sep_conv_3x3`` becomes ``sep3``."""
    words = short_label(operation).split(" ")
    square = re.fullmatch(r"(\d+)x(\d+)", words[-1])
    if square and square[1] == square[2]:
        words[-1] = square[1]
    return words[0] + "_".join(word for word in words[1:] if word != "pool")


def clipped(text: str, longest: int = _LONGEST) -> str:
    """Cut ``text`` to ``longest`` characters, with an ellipsis where something is missing."""
    return text if len(text) <= longest else text[: longest - 3].rstrip() + "..."


def plain_name(label: str) -> str:
    """Write a node's label without math marks: ``c_{k-2}`` becomes ``c_k-2``."""
    return clipped(label.replace("{", "").replace("}", ""))
