import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nas.data.images as module
from nas.data.container import Folders
from nas.data.form import Form
from nas.data.images import decode, decoded
from nas.errors import NasError
from tests.nas.data.made import MakeTree, encoded, pixels


def hwc(tensor: torch.Tensor) -> np.ndarray:
    return tensor.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_images_are_read_bit_for_bit(kind: str) -> None:
    picture = pixels(0, 6)[:, :5]
    found = decode(encoded(picture, kind), Form())
    assert found.dtype == torch.uint8
    assert np.array_equal(hwc(found), picture)


def test_gray_and_color_are_converted_into_each_other() -> None:
    gray = pixels(1, 6, 1)
    assert np.array_equal(hwc(decode(encoded(gray), Form(3))), np.stack([gray] * 3, 2))
    assert np.array_equal(decode(encoded(gray), Form(1)).numpy()[0], gray)
    color = pixels(2, 6).astype(float)
    luma = color @ [0.299, 0.587, 0.114]  # ITU-R 601
    found = decode(encoded(pixels(2, 6)), Form(1)).numpy()[0]
    assert np.abs(found - luma).max() <= 1


def test_pictures_of_a_turned_camera_are_upright() -> None:
    picture = pixels(3, 6)[:, :4]
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    found = decode(encoded(picture, exif=exif), Form())
    assert np.array_equal(hwc(found), np.rot90(picture, -1))


def test_the_shorter_side_is_resized_and_the_middle_kept() -> None:
    thirds = np.repeat(np.array([10, 100, 200], np.uint8), 16)
    wide = np.broadcast_to(thirds[None, :, None], (16, 48, 3)).copy()
    found = decode(encoded(wide), Form(3, 8))
    assert found.shape == (3, 8, 8)
    assert int(found[:, :, 1:-1].min()) == int(found[:, :, 1:-1].max()) == 100
    tall = decode(encoded(wide.transpose(1, 0, 2)), Form(3, 8))
    assert torch.equal(tall, found.transpose(1, 2))


def test_resizing_averages_instead_of_skipping_pixels() -> None:
    board = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)
    found = decode(encoded(board), Form(1, 8)).float()
    assert float((found - 127.5).abs().max()) < 8  # without antialiasing it is 0 or 255


def test_small_images_are_enlarged() -> None:
    assert decode(encoded(pixels(4, 5)), Form(3, 8)).shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 2}, r"channels must be 3 \(color\) or 1 \(gray\), got 2; set data\.channels"),
        ({"channels": True}, "channels must be"),
        ({"size": 0}, r"size must be a whole number of pixels .*got 0; set data\.size"),
        ({"size": 32.0}, "size must be"),
        ({"size": "32x32"}, "size must be"),
    ],
)
def test_wrong_forms_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        Form(**settings)


@pytest.mark.parametrize("threads", [False, True])
def test_images_come_in_the_order_asked_for(
    threads: bool, make_tree: MakeTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGE", 0 if threads else 10**9)
    root = make_tree({"a": 150, "b": 150}, side=4)
    names = [f"{folder}/{k:03}.png" for k in range(150) for folder in "ba"]
    found = decoded(Folders(root), names, Form())
    wanted = np.stack([pixels(k + 150 * (f == "b"), 4) for k in range(150) for f in "ba"])
    assert np.array_equal(found.numpy(), wanted.transpose(0, 3, 1, 2))


def broken(kind: str) -> bytes:
    whole = encoded(pixels(0, 64), "JPEG" if kind == "cut jpeg" else "PNG")
    deep = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(deep, "PNG")
    return {
        "empty": b"",
        "text": b"no image",
        "cut png": whole[: len(whole) // 2],
        "cut jpeg": whole[: len(whole) // 2],
        "header only": whole[:20],
        "flipped": whole[:60] + bytes([whole[60] ^ 255]) + whole[61:],
        "deep": deep.getvalue(),
    }[kind]


@pytest.mark.parametrize("threads", [False, True])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "is no image"),
        ("text", "is no image"),
        ("cut png", "."),
        ("cut jpeg", "truncated"),
        ("header only", "."),
        ("flipped", "."),
        ("deep", "more than 8 bits per channel"),
    ],
)
def test_a_broken_image_is_named(
    kind: str, reason: str, threads: bool, two_classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGE", 0 if threads else 10**9)
    (two_classes / "cats" / "007.png").write_bytes(broken(kind))
    names = [f"cats/{k:03}.png" for k in range(20)]
    with pytest.raises(NasError, match=rf"cats/007\.png cannot be read as an image \(.*{reason}"):
        decoded(Folders(two_classes), names, Form())


def test_images_of_two_sizes_are_named_with_the_remedy(two_classes: Path) -> None:
    (two_classes / "cats" / "003.png").write_bytes(encoded(pixels(0, 9)[:, :7]))
    names = [f"cats/{k:03}.png" for k in range(5)]
    message = (
        r"cats/003\.png is 7x9 and .*cats/000\.png is 8x8; set data\.size, e\.g\. data\.size=32"
    )
    with pytest.raises(NasError, match=message):
        decoded(Folders(two_classes), names, Form())
    assert decoded(Folders(two_classes), names, Form(3, 8)).shape == (5, 3, 8, 8)


def test_an_image_that_claims_too_many_pixels_is_refused(
    two_classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", 63)
    with pytest.raises(NasError, match=r"cats/000\.png cannot be read as an image \(8x8 pixels"):
        decoded(Folders(two_classes), ["cats/000.png"], Form())


@pytest.mark.parametrize("limit", [40, 20])
def test_what_pillow_takes_for_a_bomb_is_refused(
    limit: int, two_classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)  # it warns above, and fails above twice
    with pytest.raises(NasError, match=r"cats/000\.png cannot be read .*decompression bomb"):
        decoded(Folders(two_classes), ["cats/000.png"], Form())


def test_more_than_fits_into_memory_is_refused(
    two_classes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DECODED", 8 * 8 * 3 * 2 - 1)
    with pytest.raises(NasError, match=r"2 images of 8x8 such as .*; set data\.size, .*samples"):
        decoded(Folders(two_classes), ["cats/000.png", "cats/001.png"], Form())


def test_long_reading_shows_a_progress_line(
    two_classes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"cats/{k:03}.png" for k in range(20)]
    decoded(Folders(two_classes), names, Form())
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("nas.data.late.PATIENCE", 0.0)
    decoded(Folders(two_classes), names, Form())
    assert "decoding images  20/20  100 %" in capsys.readouterr().out
