from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.analysis.summary import (
    compare_sentence,
    comparison_text,
    figure,
    final_rows,
    in_words,
    integers_text,
    mean_and_deviation,
    millions,
    percent,
    plain,
    seconds,
    size,
    spread,
)

CLAIM = re.compile(r"better|worse|superior|outperform|beat|improv|significan|win", re.IGNORECASE)
shares = st.floats(0, 1)


metrics = st.sampled_from(["accuracy", "f1", "mse", "psnr", "pixel_accuracy"])


@given(shares, st.lists(shares, max_size=8), metrics, st.booleans())
def test_no_sentence_ever_claims_superiority(
    found: float, others: list[float], metric: str, higher: bool
) -> None:
    sentence = compare_sentence(found, others, metric, higher)
    assert not CLAIM.search(sentence)
    assert sentence.count("\n") == 0


@given(shares, st.lists(shares, min_size=2, max_size=8))
def test_a_difference_is_named_only_outside_range_and_two_deviations(
    found: float, others: list[float]
) -> None:
    mean = sum(others) / len(others)
    spread = math.sqrt(sum((x - mean) ** 2 for x in others) / (len(others) - 1))
    distance = abs(found - mean)
    if abs(distance - 2 * spread) < 1e-9:
        return  # too near to the edge for rounding to agree
    sentence = compare_sentence(found, others)
    shown = not (min(others) <= found <= max(others)) and distance > 2 * spread
    assert ("no difference shown" in sentence) is not shown
    if shown:
        assert ("above all" if found > mean else "below all") in sentence
        assert "one seed does not establish" in sentence


@pytest.mark.parametrize(
    ("found", "others", "sentence"),
    [
        (
            0.989,
            [0.983, 0.986, 0.989],
            "no difference shown: found 98.9 %, 3 random cells 98.6 +- 0.3 %",
        ),
        (
            0.9904,
            [0.971, 0.972, 0.973],
            "found 99.0 % lies above all 3 random cells (97.2 +- 0.1 %); one seed does not "
            "establish a difference, 6 paired seeds or more could",
        ),
        (
            0.9,
            [0.97],
            "no difference shown: found 90.0 %, 1 random cell 97.0 %; one against one shows "
            "nothing",
        ),
        (0.9, [], "no comparison: no random cells were retrained"),
        (0.9, [math.nan, 0.8], "no comparison: not every test accuracy is a number"),
    ],
)
def test_sentences_in_full(found: float, others: list[float], sentence: str) -> None:
    assert compare_sentence(found, others) == sentence


@pytest.mark.parametrize(
    ("metric", "higher", "found", "others", "sentence"),
    [
        (
            "mse",
            False,
            0.0123456,
            [0.0211, 0.0212, 0.0213],
            "found mse 0.01235 lies below all 3 random cells (0.0212 +- 0.0001), less is wanted; "
            "one seed does not establish a difference, 6 paired seeds or more could",
        ),
        (
            "mse",
            False,
            0.03,
            [0.0211, 0.0212, 0.0213],
            "found mse 0.03 lies above all 3 random cells (0.0212 +- 0.0001), less is wanted; "
            "one seed does not establish a difference, 6 paired seeds or more could",
        ),
        (
            "psnr",
            True,
            31.25,
            [28.0, 28.1],
            "found psnr 31.25 lies above all 2 random cells (28.05 +- 0.071), more is wanted; "
            "one seed does not establish a difference, 6 paired seeds or more could",
        ),
        (
            "f1",
            True,
            0.9,
            [0.91, 0.88, 0.89],
            "no difference shown: found f1 90.0 %, 3 random cells 89.3 +- 1.5 %",
        ),
        ("mse", False, 0.5, [math.inf], "no comparison: not every test mse is a number"),
        (
            "pixel_accuracy",
            True,
            0.5,
            [0.4],
            "no difference shown: found pixel accuracy 50.0 %, 1 random cell 40.0 %; one against "
            "one shows nothing",
        ),
    ],
)
def test_sentences_on_other_metrics_in_full(
    metric: str, higher: bool, found: float, others: list[float], sentence: str
) -> None:
    assert compare_sentence(found, others, metric, higher) == sentence


def test_values_are_written_as_their_metric_is() -> None:
    shared = ("accuracy", "pixel_accuracy", "f1", "sample_iou", "exact_match")
    assert {figure(metric, 0.98888) for metric in shared} == {"98.9 %"}
    written = [figure("mse", value) for value in (0.0123456, 1.5e-7, 12.0, 123456.0, math.nan)]
    assert written == ["0.01235", "1.5e-07", "12", "1.235e+05", "unknown"]
    assert figure("psnr", 31.2468) == "31.25"
    assert spread("accuracy", 0.986, 0.003) == "98.6 +- 0.3 %"
    assert spread("psnr", 31.2468, 0.0567) == "31.25 +- 0.057"
    assert in_words("pixel_accuracy") == "pixel accuracy"


def test_the_closing_table_shows_the_metric_of_the_task(
    result: dict[str, Any], tmp_path: Path
) -> None:
    result |= {"metric": "mse", "higher_is_better": False}
    for network, value in zip(result["networks"], (0.0123, 0.02, 0.021, 0.022), strict=True):
        network["test"] = {"mse": value, "loss": 0.3, "count": 540}
    table = dict(final_rows(result, tmp_path))
    assert table["test mse"] == "0.0123 of 540 test examples"
    assert table["  random-0"] == "0.02  (0.21 M parameters, 3.41 M MACs)"
    assert table["  random, mean"] == "0.021 +- 0.001"
    assert table["comparison"].startswith("found mse 0.0123 lies below all 3 random cells")
    assert "less is wanted" in table["comparison"]
    assert not [label for label in table if "accuracy" in label]


def test_numbers_are_written_for_people() -> None:
    assert [percent(0.98888), percent(1.0, 0), percent(math.nan)] == ["98.9 %", "100 %", "unknown"]
    counts = [0, 12, 9_999, 212_340, 3_412_000, 56_780_000, 603_452_448]
    written = ["0", "12", "9,999", "0.21 M", "3.41 M", "56.8 M", "603 M"]
    assert [millions(count) for count in counts] == written
    times = [0.31, 9.96, 59.7, 60, 110, 3599.7, 3661, 90_000, math.inf]
    spans = ["0.3 s", "10 s", "1 min", "1 min", "1 min 50 s", "1 h 0 min", "1 h 1 min", "1 d 1 h"]
    assert [seconds(time) for time in times] == [*spans, "unknown"]
    assert [size(n) for n in (999, 60_400, 2_340_000)] == ["999 B", "60 kB", "2.3 MB"]
    assert [plain(v) for v in (4e6, 12.34567, True, "x", None)] == [
        "4,000,000",
        "12.35",
        "True",
        "x",
        "None",
    ]


def test_mean_and_deviation_match_hand_computed_values() -> None:
    assert mean_and_deviation([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert mean_and_deviation([4.0]) == (4.0, None)


def test_the_closing_table_has_every_row(result: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    for name in ("genotype.json", "report.html", "plots/normal.svg", "plots/reduce.svg"):
        (tmp_path / name).write_text("")
    rows = final_rows(result, tmp_path)
    assert rows[:5] == [
        ("found", "sep3 x7 sep5 x4"),
        ("search", "1 min 50 s, 50 epochs, supernet 0.05 M parameters"),
        ("parameters", "0.21 M"),
        ("MACs", "3.41 M"),
        ("test accuracy", "98.9 % of 540 test examples"),
    ]
    assert [label for label, _ in rows[5:]] == [
        "  random-0",
        "  random-1",
        "  random-2",
        "  random, mean",
        "comparison",
        "budget macs",
        "genotype",
        "picture",
        "picture",
        "report",
        "ONNX",
    ]
    table = dict(rows)
    assert table["  random-0"] == "98.3 %  (0.21 M parameters, 3.41 M MACs)"
    assert table["  random, mean"] == "98.6 +- 0.3 %"
    assert table["genotype"] == str(tmp_path / "genotype.json")
    assert table["ONNX"] == "not written: install [export]"
    assert table["budget macs"] == "met: 3,412,000 of at most 4,000,000"


def test_the_stored_sentence_is_used(result: dict[str, Any], tmp_path: Path) -> None:
    result["comparison"] = {"sentence": "as stored"}
    assert ("comparison", "as stored") in final_rows(result, tmp_path)
    assert comparison_text({}) == ""


def test_a_written_onnx_file_is_found_below_the_run(result: dict[str, Any], tmp_path: Path) -> None:
    result["exports"] = [{"format": "ONNX", "path": "export/model.onnx", "status": "written"}]
    assert final_rows(result, tmp_path)[-1] == ("ONNX", str(tmp_path / "export/model.onnx"))


INTEGERS: dict[str, Any] = {
    "format": "onnx",
    "path": "export/model.onnx",
    "bytes": 57_400,
    "largest_difference": 0.0123,
    "status": "written",
    "facts": {
        "layers": 22,
        "computed": 10,
        "fp32_bytes": 1_166_000,
        "outputs_off": 2.3e-7,
        "ms": 0.5,
        "fp32_ms": 1.55,
    },
}


def test_a_file_in_integers_is_told_beside_fp32(result: dict[str, Any], tmp_path: Path) -> None:
    sentence = (
        "57 kB, in fp32 1.2 MB; 3.1x faster (0.5 ms, in fp32 1.55 ms); 10 of 22 layers computed in "
        "integers; largest difference 0.01, layer by layer 2e-07"
    )
    assert integers_text(INTEGERS) == sentence
    result["exports"] = [INTEGERS]
    assert final_rows(result, tmp_path)[-1] == ("  integers", sentence)
    slow = {**INTEGERS, "facts": {**INTEGERS["facts"], "fp32_ms": 0.25}}
    assert "2.0x slower (0.5 ms, in fp32 0.25 ms)" in integers_text(slow)
    untimed = {key: value for key, value in INTEGERS["facts"].items() if "ms" not in key}
    assert "ms" not in integers_text({**INTEGERS, "facts": untimed})
    for other in ({"format": "onnx"}, {"format": "mine", "facts": {"score": 1}}):
        assert integers_text(other) == ""


def test_any_part_may_be_missing(result: dict[str, Any], tmp_path: Path) -> None:
    assert final_rows({}, tmp_path) == []
    for key in result:
        rest = {name: value for name, value in result.items() if name != key}
        assert all(value for _, value in final_rows(rest, tmp_path))
    for network in result["networks"]:
        del network["test"], network["macs"]
    labels = [label for label, _ in final_rows(result, tmp_path)]
    assert labels == ["found", "search", "parameters", "budget macs", "ONNX"]
