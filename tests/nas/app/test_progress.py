from __future__ import annotations

import pytest

from nas.app.progress import ProgressBars, shown

ENTROPY = {"entropy/normal": 1.2345, "skip/normal": 2.0, "lr/weights": 0.1}


@pytest.mark.parametrize(
    ("metric", "metrics", "expected"),
    [
        ("accuracy", {"accuracy/validation": 0.981, "accuracy/weights": 0.9}, ("98.1", "90.0")),
        ("pixel_accuracy", {"pixel_accuracy/validation": 0.5}, ("50.0", None)),
        (
            "mse",
            {"mse/validation": 0.0123, "mse/weights": 0.5, "psnr/weights": 9},
            ("0.0123", "0.5"),
        ),
        ("psnr", {"mse/validation": 0.0123, "psnr/train": 31.26}, (None, "31.3")),
    ],
)
def test_a_bar_shows_the_metric_of_the_task(
    metric: str, metrics: dict[str, float], expected: tuple[str | None, str | None]
) -> None:
    found = shown({**ENTROPY, **metrics}, metric)
    assert (found.get("val"), found.get("train")) == expected
    assert (found["entropy"], found["skip"]) == ("1.23", "2")
    assert not {"lr", "loss"} & set(found)


def test_retraining_is_shown_beside_the_search_alone() -> None:
    both = {"accuracy/train": 0.5, "accuracy/weights": 0.25}
    assert shown(both)["train"] == "50.0"


def test_bars_show_accuracies_until_told_otherwise() -> None:
    assert ProgressBars().metric == "accuracy"
