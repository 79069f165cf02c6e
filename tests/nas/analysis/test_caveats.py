from __future__ import annotations

from typing import Any

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
