"""The report of one run: a single HTML file that opens anywhere and fetches nothing."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nas.analysis.caveats import caveats
from nas.analysis.cells import cell_title, cells_of
from nas.analysis.checklist import checklist
from nas.analysis.curves import HeatMaps, inline_charts, inline_heat_maps
from nas.analysis.draw import draw_cell
from nas.analysis.page import (
    Cell,
    Html,
    Section,
    bullets,
    grid_table,
    markup,
    note,
    page,
    pairs_table,
)
from nas.analysis.summary import (
    ACCURACY,
    comparison_text,
    figure,
    final_rows,
    in_words,
    integers_text,
    metric_of,
    number,
    plain,
    seconds,
    size,
)
from nas.analysis.svg import inline_svg
from nas.analysis.text import cell_text, summary_of
from nas.errors import NasError
from nas.files import write_atomic

_ROLES = {
    "weights": "trains the weights of the supernet",
    "architecture": "trains the decisions",
    "validation": "watches the search, trains nothing in it",
    "test": "read by evaluate alone",
}
_MEASURED = ("train", "validation", "test")


def write_report(
    folder: Path,
    result: Mapping[str, Any],
    metrics: Iterable[Mapping[str, Any]],
    graph: Any | None = None,
    env: Mapping[str, Any] | None = None,
    weights: HeatMaps | None = None,
) -> Path:
    """Write ``report.html`` into a run's folder; parts that are missing are left out.

    Args:
        folder: the run's folder.
        result: the contents of ``result.json``.
        metrics: the rows of ``metrics.jsonl``.
        graph: the found genotype's graph, as `nas.analysis.draw.draw_cell` takes it.
        env: the contents of ``env.json``.
        weights: for each cell the names of its edges, of its operations, and the final weights
            of the decisions of shape (edges, operations).

    Returns:
        The path of the file.

    Raises:
        NasError: when the file cannot be written.
    """
    sections = [
        Section("result", "Result", _result(result, folder)),
        Section("cells", "Found cells", _cells(graph)),
        Section("curves", "Curves", _curves(metrics)),
        Section("weights", "Weights of the decisions", _weights(weights)),
        Section("networks", "Networks", _networks(result)),
        Section("splits", "Splits of the data", _splits(result)),
        Section("budget", "Budget", _budget(result)),
        Section("exports", "Exports", _exports(result, folder)),
        Section("environment", "Environment and command", _environment(result, env)),
        Section("caveats", "What this does not show", bullets(caveats(result))),
        Section("checklist", "Checklist of good practice", _checklist(result, env)),
    ]
    path = folder / "report.html"
    write_atomic(path, page(_title(result, folder), _lead(result), sections))
    return path


def _title(result: Mapping[str, Any], folder: Path) -> str:
    experiment = result.get("experiment")
    return f"{experiment}: {folder.name}" if experiment else folder.resolve().name


def _lead(result: Mapping[str, Any]) -> list[Cell]:
    names = ("strategy", "space", "data", "preset", "seed", "genotype_id")
    known = [(name, result.get(name)) for name in names if result.get(name) is not None]
    facts = [f"{name.replace('_id', '')} {value}" for name, value in known]
    return [" · ".join(facts)] if facts else []


def _result(result: Mapping[str, Any], folder: Path) -> str:
    rows: list[tuple[str, Cell]] = []
    for label, value in final_rows(result, folder):
        if label != "comparison" and label != "report":
            rows.append((label, _file_link(folder, value)))
    table = pairs_table(rows)
    sentence = comparison_text(result)
    verdict = f'<p class="verdict">{markup(_capital(sentence))}.</p>\n' if sentence else ""
    if verdict or table:
        return verdict + table
    return "<p>No stage of this run has left a result yet.</p>"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:].rstrip(".")


def _file_link(folder: Path, text: str) -> Cell:
    """Link a path that lies in the run's folder, relative to the report."""
    try:
        inside = Path(text).resolve().relative_to(folder.resolve())
        if not (folder / inside).is_file():
            return text
    except (ValueError, OSError):
        return text
    name = inside.as_posix()
    return Html(f'<a href="{quote(name)}">{markup(name)}</a>')


def _cells(graph: Any | None) -> str:
    if graph is None:
        return ""
    parts = []
    for index, cell in enumerate(cells_of(graph)):
        counts = summary_of(graph, cell)
        try:
            figure = draw_cell(graph, cell, cell_title(cell))
            picture = inline_svg(figure, f"cell{index}", f"{cell_title(cell)}: {counts}")
            words = cell_text(graph, cell, plain=False)
        except NasError as error:
            parts.append(f"<div>{note(f'{cell}: {error}')}</div>")
            continue
        parts.append(
            f'<div><figure class="scroll">{picture}'
            f"<figcaption>{markup(counts)}</figcaption></figure>\n"
            f"<details><summary>as text</summary><pre>{markup(words)}</pre></details></div>"
        )
    joined = any(not data.get("label") for _, _, data in graph.edges(data=True))
    sums = "thin gray lines are concatenated, all others summed" if joined else "edges are summed"
    legend = f"Data flows from left to right; {sums}."
    body = "\n".join(parts)
    return f'<div class="cells">\n{body}\n</div>\n{note(legend)}' if parts else ""


def _curves(metrics: Iterable[Mapping[str, Any]]) -> str:
    body = "\n".join(f"<figure>{chart}</figure>" for chart in inline_charts(metrics))
    return f'<div class="charts">\n{body}\n</div>' if body else ""


def _weights(weights: HeatMaps | None) -> str:
    maps = inline_heat_maps(weights or {})
    body = "\n".join(f'<figure class="scroll">{picture}</figure>' for picture in maps)
    text = "At the end of the search: a row per edge, a column per operation."
    return f"{note(text)}\n{body}" if maps else ""


def _networks(result: Mapping[str, Any]) -> str:
    metric = metric_of(result)
    rows = [_network_row(network, metric) for network in result.get("networks") or ()]
    short = "acc." if metric == ACCURACY else in_words(metric)
    columns = (
        "network",
        "parameters",
        "MACs",
        *(f"{split} {short}" for split in _MEASURED),
        "test loss",
        "retraining",
    )
    table = grid_table(columns, rows)
    rule = result.get("counting")
    return table + (note(f"Counting rule: {rule}.") if table and rule else "")


def _network_row(network: Mapping[str, Any], metric: str) -> list[Cell]:
    values = [number(network, split, metric) for split in _MEASURED]
    costs = [number(network, name) for name in ("parameters", "macs")]
    loss, duration = number(network, "test", "loss"), number(network, "seconds")
    return [
        str(network.get("name", "")),
        *("" if cost is None else plain(cost) for cost in costs),
        *("" if value is None else figure(metric, value) for value in values),
        "" if loss is None else f"{loss:.3f}" if metric == ACCURACY else figure("loss", loss),
        "" if duration is None else seconds(duration),
    ]


def _splits(result: Mapping[str, Any]) -> str:
    splits = result.get("splits") or {}
    rows = [[str(name), plain(count), _ROLES.get(str(name), "")] for name, count in splits.items()]
    return grid_table(("split", "examples", "used for"), rows)


def _budget(result: Mapping[str, Any]) -> str:
    rows = [
        [
            str(item.get("name", "")),
            plain(item.get("limit", "")),
            plain(item.get("value", "")),
            "met" if item.get("met") else "not met",
        ]
        for item in result.get("budget") or ()
    ]
    return grid_table(("quantity", "at most", "reached", "verdict"), rows)


def _exports(result: Mapping[str, Any], folder: Path) -> str:
    rows: list[list[Cell]] = []
    for export in result.get("exports") or ():
        count, gap = number(export, "bytes"), number(export, "largest_difference")
        path = str(export.get("path") or "")
        rows.append(
            [
                str(export.get("format", "")),
                _file_link(folder, str(folder / path)) if (folder / path).is_file() else path,
                "" if count is None else size(count),
                "" if gap is None else f"{gap:.2g}",
                str(export.get("status", "written")),
            ]
        )
    table = grid_table(("format", "file", "size", "largest difference", "status"), rows)
    parity = "Largest absolute difference from the network in memory, on random inputs."
    integers = [integers_text(export) for export in result.get("exports") or ()]
    notes = [parity, *(f"Integers: {text}." for text in integers if text)]
    return table + ("".join(map(note, notes)) if table else "")


def _environment(result: Mapping[str, Any], env: Mapping[str, Any] | None) -> str:
    command = result.get("command")
    shown = f"<p>To repeat this run:</p>\n<pre>{markup(str(command))}</pre>\n" if command else ""
    return shown + pairs_table(_flat(env or {}))


def _checklist(result: Mapping[str, Any], env: Mapping[str, Any] | None) -> str:
    rows: list[list[Cell]] = [
        [item.question, item.answer, item.because] for item in checklist(result, env)
    ]
    source = "After Lindauer and Hutter, arXiv 1909.02453; filled in from what this run recorded."
    return grid_table(("question", "answer", "because"), rows) + note(source)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Cell]]:
    """Nested settings as rows with dotted names."""
    rows: list[tuple[str, Cell]] = []
    for name, value in values.items():
        label = f"{prefix}{name}"
        if isinstance(value, Mapping):
            rows += _flat(value, f"{label}.")
        elif isinstance(value, list | tuple):
            rows.append((label, ", ".join(str(part) for part in value)))
        else:
            rows.append((label, "" if value is None else str(value)))
    return rows
