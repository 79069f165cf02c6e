from __future__ import annotations

from typing import Any

import pytest

from nas.analysis.caveats import caveats


def test_an_empty_result_says_it_has_no_baseline() -> None:
    (text,) = caveats({})
    assert "no random genotype" in text


def test_every_caveat_of_a_full_result(result: dict[str, Any]) -> None:
    text = "\n".join(caveats(result))
    assert "one seed (0)" in text
    assert "at least 6 paired seeds" in text
    assert "0.19 points" in text  # 1 of 540
    assert "about 0.4 points" in text  # sqrt(0.989 * 0.011 / 540)
    assert "no latency" in text
    assert "preset=cpu" in text
    assert "onnx (not written: install [export])" in text


def test_unequal_costs_and_missed_budgets_are_said(result: dict[str, Any]) -> None:
    result["networks"][1]["macs"] = 4_094_400
    result["budget"][0]["met"] = False
    text = "\n".join(caveats(result))
    assert "by up to 20 % in MACs" in text
    assert "not met for: macs" in text


@pytest.mark.parametrize(("tolerance", "said"), [(0.05, True), (0.1, False)])
def test_the_tolerance_of_equal_costs_is_that_of_the_run(
    result: dict[str, Any], tolerance: float, said: bool
) -> None:
    result["macs_tolerance"] = tolerance
    result["networks"][1]["macs"] = 1.08 * result["networks"][0]["macs"]
    assert ("by up to 8 % in MACs" in "\n".join(caveats(result))) is said


def test_a_metric_that_is_no_share_of_right_answers_has_no_standard_error(
    result: dict[str, Any],
) -> None:
    result["metric"] = "mse"
    result["search"]["validation"] = {"mse": 0.2}
    result["networks"][0]["test"] = {"mse": 0.1, "count": 540}
    text = "\n".join(caveats(result))
    assert "The test mse is a mean over 540 test examples" in text
    assert "Values of mse during the search are those of the supernet" in text
    assert "published figures" in text
    assert "standard error" not in text
    assert "ccurac" not in text
