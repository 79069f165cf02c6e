"""Image files into one uint8 array: decoded, turned upright, and of one size."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from os import cpu_count
from statistics import mean
from typing import cast

import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from nas.data.container import Container, Reader
from nas.data.form import MODES, Form
from nas.data.late import LateProgress
from nas.errors import NasError

MAX_PIXELS = 64 * 10**6
"""Pixels of one image: a file of a few bytes may claim to hold any number of them."""
MAX_DECODED = 16 * 2**30
"""Bytes of all images together, in memory."""
DEEP = ("I", "F")
BROKEN = (
    OSError,
    SyntaxError,  # how Pillow calls a broken PNG
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
LARGE = 16 * 2**10
"""Bytes of a file from which threads pay: only the decoder itself runs beside other Python."""
CHUNK = 32


def decode(content: bytes, form: Form) -> Tensor:
    """``(channels, H, W)`` uint8 of one image file; raises one of ``BROKEN`` if it is none."""
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"{width}x{height} pixels, more than the {MAX_PIXELS // 10**6} million allowed"
            )
        if image.mode.startswith(DEEP):
            raise ValueError(f"more than 8 bits per channel, mode {image.mode}")
        upright = ImageOps.exif_transpose(image).convert(MODES[form.channels])
    raw = torch.frombuffer(bytearray(upright.tobytes()), dtype=torch.uint8)
    pixels = raw.view(upright.height, upright.width, form.channels).permute(2, 0, 1)
    return pixels if form.size is None else _sized(pixels, form.size)


def _sized(pixels: Tensor, size: int) -> Tensor:
    if tuple(pixels.shape[1:]) == (size, size):
        return pixels
    from torchvision.transforms.v2.functional import center_crop, resize

    return cast(Tensor, center_crop(resize(pixels, [size], antialias=True), [size, size]))


def decoded(tree: Container, names: Sequence[str], form: Form) -> Tensor:
    """All the named images as ``(N, channels, H, W)`` uint8, in this order.

    Decoded over threads where the files are large; after a second a progress line is shown.

    Raises:
        NasError: naming a file that is broken, or of another size than the first one.
    """
    position = {name: index for index, name in enumerate(names)}
    found: Tensor | None = None
    first = ""
    with ExitStack() as stack:
        # Filters count for all threads: sizes that Pillow warns of are refused, and what it says
        # of odd palettes or tags is of no use to a reader who may have thousands of such images.
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        progress = LateProgress("decoding images", len(names), stack)
        for name, pixels in _all(tree, position, form):
            if found is None:
                first, found = name, _room(tree, name, pixels, len(names))
            if pixels.shape != found.shape[1:]:
                raise NasError(
                    f"{tree.place(name)} is {_size(pixels)} and {tree.place(first)} is "
                    f"{_size(found[0])}; set data.size, e.g. data.size=32, to bring all images to "
                    "one size"
                )
            found[position[name]] = pixels
            progress.advance()
    if found is None:
        raise NasError(f"{tree.path} holds none of the {len(names)} images that were asked for")
    return found


def _all(tree: Container, position: Mapping[str, int], form: Form) -> Iterator[tuple[str, Tensor]]:
    def one(name: str, reader: Reader) -> tuple[str, Tensor]:
        try:
            return name, decode(reader(), form)
        except BROKEN as error:
            reason = " ".join(str(error).replace("<_io.BytesIO object", "<").split())
            told = "is no image" if isinstance(error, UnidentifiedImageError) else reason
            raise NasError(
                f"{tree.place(name)} cannot be read as an image ({told}); "
                "repair it, convert it to an 8-bit PNG, or remove it"
            ) from error

    def many(chunk: Sequence[tuple[str, Reader]]) -> list[tuple[str, Tensor]]:
        return [one(*entry) for entry in chunk]

    chunks = _chunks(tree.read(list(position)))
    head = next(chunks, [])
    if mean([len(reader()) for _, reader in head] or [0]) < LARGE:
        yield from many(head)
        for chunk in chunks:
            yield from many(chunk)
        return
    workers = min(8, cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        # bounded, so that an archive is not read into memory faster than it is decoded
        waiting: deque[Future[list[tuple[str, Tensor]]]] = deque([pool.submit(many, head)])
        try:
            for chunk in chunks:
                waiting.append(pool.submit(many, chunk))
                if len(waiting) > 2 * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _chunks(entries: Iterable[tuple[str, Reader]]) -> Iterator[list[tuple[str, Reader]]]:
    chunk: list[tuple[str, Reader]] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _room(tree: Container, name: str, pixels: Tensor, count: int) -> Tensor:
    total = pixels.numel() * count
    if total > MAX_DECODED:
        raise NasError(
            f"{count} images of {_size(pixels)} such as {tree.place(name)} take "
            f"{total / 2**30:.0f} GiB decoded, more than {MAX_DECODED // 2**30}; "
            "set data.size, e.g. data.size=32, or data.samples"
        )
    return torch.empty((count, *pixels.shape), dtype=torch.uint8)


def _size(pixels: Tensor) -> str:
    return f"{pixels.shape[2]}x{pixels.shape[1]}"
