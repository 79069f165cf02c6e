from __future__ import annotations

import math
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nas.analysis.curves import Chart, charts_of, heat_figure, line_figure
from nas.analysis.svg import svg_bytes


def row(phase: str, epoch: int, step: int, **values: float) -> dict[str, Any]:
    metrics = {name.replace("__", "/"): value for name, value in values.items()}
    return {"stage": "search", "phase": phase, "epoch": epoch, "step": step, "metrics": metrics}


def test_charts_group_metrics_and_networks(metrics: list[dict[str, Any]]) -> None:
    charts = {chart.title: chart for chart in charts_of(metrics)}
    assert list(charts) == [
        "search: loss",
        "search: accuracy",
        "search: entropy of the decisions (nats)",
        "search: skip connections in the derived cell",
        "search: learning rate",
        "retraining: loss (train)",
    ]
    assert list(charts["search: loss"].lines) == ["weights", "architecture"]
    assert [x for x, _ in charts["search: loss"].lines["architecture"]] == [3, 4, 5, 6]
    assert charts["search: loss"].phases == ((1, "warmup"), (3, "search"))
    assert list(charts["retraining: loss (train)"].lines) == ["found", "random-0"]
    assert charts["retraining: loss (train)"].phases == ()
    assert "architecture ends at" in charts["search: loss"].description


def test_rows_of_an_epoch_are_averaged_and_repeated_rows_count_once() -> None:
    rows = [
        row("search", 0, 8, loss__weights=9.0),
        row("search", 0, 8, loss__weights=1.0),
        row("search", 0, 16, loss__weights=3.0),
        row("search", 1, 24, loss__weights=math.nan),
        row("search", 2, 32, loss__weights=0.5),
    ]
    (chart,) = charts_of(rows)
    assert chart.lines == {"weights": [(1, 2.0), (3, 0.5)]}


def test_epochs_counted_anew_in_each_phase_follow_one_another() -> None:
    rows = [row("warmup", 0, 1, loss=1.0), row("search", 0, 2, loss=2.0)]
    (chart,) = charts_of(rows)
    assert chart.lines == {"loss": [(1, 1.0), (2, 2.0)]}
    assert chart.phases == ((1, "warmup"), (2, "search"))


def test_rows_that_hold_nothing_give_no_chart() -> None:
    assert charts_of([]) == []
    assert charts_of([{"stage": "search"}, row("search", 0, 1, loss=math.inf)]) == []


@pytest.mark.parametrize(
    "lines",
    [
        {"one": [(1, 0.5)]},
        {"flat": [(e, 0.25) for e in range(1, 40)]},
        {"tiny": [(e, 1e-5 * e) for e in range(1, 4)]},
        {f"line {i}": [(e, float(i)) for e in range(1, 9)] for i in range(8)},
    ],
)
def test_texts_of_a_chart_stay_inside_and_apart(lines: dict[str, list[tuple[int, float]]]) -> None:
    phases = ((1, "warmup"), (2, "second"), (3, "search"))
    figure = line_figure(Chart("title", lines, phases))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    axes = figure.axes[0]
    legend = axes.get_legend()
    texts = [*figure.texts, *axes.texts, axes.xaxis.label, *(legend.get_texts() if legend else ())]
    ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for tick in ticks:
        x, y = tick.get_position()
        if left <= x <= right and low <= y <= high:
            texts.append(tick)
    boxes = [t.get_window_extent(renderer) for t in texts if t.get_text()]
    for index, box in enumerate(boxes):
        assert figure.bbox.contains(box.x0, box.y0), texts[index]
        assert figure.bbox.contains(box.x1, box.y1), texts[index]
        assert not any(box.overlaps(other) for other in boxes[:index]), texts[index]


def test_lines_beyond_six_are_said_to_be_missing() -> None:
    lines = {str(i): [(1, 0.0), (2, 1.0)] for i in range(9)}
    figure = line_figure(Chart("many", lines))
    assert figure.texts[0].get_text() == "many (3 more lines not drawn)"
    assert len(figure.axes[0].lines) == 6


def test_a_heat_map_shows_every_weight() -> None:
    matrix = [[0.1, 0.9], [math.nan, 0.25], [1.0, 0.0]]
    edges = ["c_{k-2} -> 0", "c_{k-1} -> 0", "0 -> 1"]
    figure = heat_figure("normal", edges, ["skip_connect", "sep_conv_3x3"], matrix)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts] == ["0.10", "0.90", "-", "0.25", "1.00", "0.00"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["c_k-2 -> 0", "c_k-1 -> 0", "0 -> 1"]
    shades = [sum(patch.get_facecolor()[:3]) for patch in axes.patches]
    assert shades[4] < shades[1] < shades[3] < shades[0] < shades[5]
    assert b"<image" not in svg_bytes(figure)
