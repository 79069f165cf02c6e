"""The closing table of a run, and what may be said about it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

Row = tuple[str, str]

PAIRED_SEEDS = 6
"""A claim that one search beats another needs at least so many paired seeds."""

ACCURACY = "accuracy"
"""The metric of results that name none."""

SHARES = ("accuracy", "f1", "iou", "exact_match")
"""A metric whose name ends in one of these is a share of 0 to 1."""


def is_share(metric: str) -> bool:
    """Whether values of a metric lie in 0 to 1 and are written as percentages; told by its name."""
    return metric.endswith(SHARES)


def figure(metric: str, value: float) -> str:
    """Write a metric's value: shares as ``98.9 %``, others with four significant digits."""
    if is_share(metric) or not math.isfinite(value):
        return percent(value)
    return f"{value:.4g}"


def spread(metric: str, mean: float, deviation: float) -> str:
    """Write a mean with its deviation: ``98.6 +- 0.3 %``, or ``0.01234 +- 0.00012``."""
    if is_share(metric):
        return f"{100 * mean:.1f} +- {percent(deviation)}"
    return f"{figure(metric, mean)} +- {deviation:.2g}"


def in_words(metric: str) -> str:
    """A metric's name for people: ``pixel_accuracy`` becomes ``pixel accuracy``."""
    return metric.replace("_", " ")


def metric_of(result: Mapping[str, Any]) -> str:
    """The primary metric of a result."""
    return str(result.get("metric") or ACCURACY)


def is_higher_better(result: Mapping[str, Any]) -> bool:
    """Whether more of the primary metric is better."""
    return result.get("higher_is_better") is not False


def percent(share: float, digits: int = 1) -> str:
    """Write a share of 0 to 1 as a percentage: 0.989 becomes ``98.9 %``."""
    return f"{100 * share:.{digits}f} %" if math.isfinite(share) else "unknown"


def millions(count: float) -> str:
    """Write a count in millions, small ones in full: 210_000 becomes ``0.21 M``."""
    if not math.isfinite(count):
        return "unknown"
    value = count / 1e6
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} M" if value >= 0.01 else f"{count:,.0f}"


def seconds(duration: float) -> str:
    """Write a duration given in seconds for people: 110 becomes ``1 min 50 s``."""
    if not math.isfinite(duration):
        return "unknown"
    if duration < 9.95:
        return f"{duration:.1f} s"
    whole = round(duration)
    days, hours, minutes, rest = whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"


def size(count: float) -> str:
    """Write a number of bytes for people: 60_000 becomes ``60 kB``."""
    if count < 1000:
        return f"{count:.0f} B"
    return f"{count / 1e3:.0f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; the latter is None for fewer than two values."""
    return fmean(values), stdev(values) if len(values) > 1 else None


def compare_sentence(
    found: float,
    others: Sequence[float],
    metric: str = ACCURACY,
    higher_is_better: bool = True,
) -> str:
    """Say plainly what the test value of one found network against random ones shows.

    One seed with a few random cells never establishes that the search found something better, so
    no such sentence exists here: either no difference is shown, or the found cell lies outside
    what the random ones reached, which one seed does not establish either.

    Args:
        found: of the found network.
        others: of the random ones.
        metric: what the values are of.
        higher_is_better: whether more of it is wanted; said where it is not the accuracy.
    """
    if not others:
        return "no comparison: no random cells were retrained"
    if not all(math.isfinite(value) for value in [found, *others]):
        return f"no comparison: not every test {in_words(metric)} is a number"
    count, (mean, deviation) = len(others), mean_and_deviation(others)
    cells = f"{count} random cell{'s' if count > 1 else ''}"
    name = "" if metric == ACCURACY else f"{in_words(metric)} "
    own = f"found {name}{figure(metric, found)}"
    if deviation is None:
        return (
            f"no difference shown: {own}, {cells} {figure(metric, mean)}; "
            "one against one shows nothing"
        )
    theirs = spread(metric, mean, deviation)
    inside = min(others) <= found <= max(others)
    if inside or abs(found - mean) <= 2 * deviation:
        return f"no difference shown: {own}, {cells} {theirs}"
    side = "above" if found > mean else "below"
    wanted = f", {'more' if higher_is_better else 'less'} is wanted" if name else ""
    return (
        f"{own} lies {side} all {cells} ({theirs}){wanted}; one seed does not establish "
        f"a difference, {PAIRED_SEEDS} paired seeds or more could"
    )


def final_rows(result: Mapping[str, Any], folder: Path) -> list[Row]:
    """Rows (label, value) of the table that ends a run; what is missing is left out.

    Args:
        result: the contents of ``result.json``.
        folder: the run's folder; paths of files that exist in it close the table.
    """
    return [
        *_found_rows(result),
        *_test_rows(result),
        *_budget_rows(result),
        *_file_rows(result, folder),
    ]


def network_named(result: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the entry of a retrained network, empty where it is missing."""
    return next((n for n in result.get("networks") or () if n.get("name") == name), {})


def random_networks(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the entries of the retrained random genotypes."""
    networks = result.get("networks") or ()
    return [n for n in networks if str(n.get("name", "")).startswith("random")]


def number(entry: Mapping[str, Any] | None, *path: str) -> float | None:
    """Follow ``path`` into nested mappings; None unless a number (not a truth value) is there."""
    value: Any = entry
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    good = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if good else None


def cost_text(network: Mapping[str, Any]) -> str:
    """Parameters and MACs of a network: ``0.21 M parameters, 3.40 M MACs``."""
    parameters, macs = number(network, "parameters"), number(network, "macs")
    parts = [f"{millions(parameters)} parameters"] if parameters is not None else []
    return ", ".join([*parts, *([f"{millions(macs)} MACs"] if macs is not None else [])])


def search_text(result: Mapping[str, Any]) -> str:
    """How long the search took and how large the supernet was; "" where nothing is known."""
    search = result.get("search") or {}
    duration, epochs = number(search, "seconds"), number(search, "epochs")
    if epochs == 0:
        return "none"
    supernet = number(search, "supernet_parameters")
    parts = [seconds(duration)] if duration is not None else []
    parts += [f"{epochs:.0f} epochs"] if epochs is not None else []
    parts += [f"supernet {millions(supernet)} parameters"] if supernet is not None else []
    return ", ".join(parts)


def gap_text(result: Mapping[str, Any]) -> str:
    """The metric on validation from the supernet to the retrained network; "" without a search."""
    gap = result.get("gap") or {}
    metric = str(gap.get("metric", ""))
    words = {
        "supernet": "supernet {}",
        "inherited": "derived with its weights {}",
        "recalibrated": "recalibrated {}",
        "retrained": "retrained {}",
    }
    values = {name: number(gap, name) for name in words}
    known = [words[n].format(figure(metric, v)) for n, v in values.items() if v is not None]
    return f"{', '.join(known)}; {in_words(metric)} on validation" if known else ""


def comparison_text(result: Mapping[str, Any]) -> str:
    """The sentence on found against random, stored or made from the values; "" if neither."""
    stored = (result.get("comparison") or {}).get("sentence")
    if stored:
        return str(stored)
    metric = metric_of(result)
    found = number(network_named(result, "found"), "test", metric)
    others = [number(n, "test", metric) for n in random_networks(result)]
    if found is None or not others:
        return ""
    values = [math.nan if other is None else other for other in others]
    return compare_sentence(found, values, metric, is_higher_better(result))


def _found_rows(result: Mapping[str, Any]) -> list[Row]:
    network = network_named(result, "found")
    parameters, macs = number(network, "parameters"), number(network, "macs")
    derived = str((result.get("derivation") or {}).get("sentence") or "")
    rows = [
        ("found", str(result.get("summary") or "")),
        ("search", search_text(result)),
        ("derived", derived),
        ("gap", gap_text(result)),
    ]
    if parameters is not None:
        rows.append(("parameters", millions(parameters)))
    if macs is not None:
        rows.append(("MACs", millions(macs)))
    return [row for row in rows if row[1]]


def _test_rows(result: Mapping[str, Any]) -> list[Row]:
    rows = []
    metric, entry = metric_of(result), network_named(result, "found")
    found, count = number(entry, "test", metric), number(entry, "test", "count")
    if found is not None:
        examples = f" of {count:.0f} test examples" if count else ""
        rows.append((f"test {in_words(metric)}", f"{figure(metric, found)}{examples}"))
    others = []
    for network in random_networks(result):
        value = number(network, "test", metric)
        if value is not None:
            others.append(value)
            costs = cost_text(network)
            text = figure(metric, value) + (f"  ({costs})" if costs else "")
            rows.append((f"  {network['name']}", text))
    if len(others) > 1:
        mean, deviation = mean_and_deviation(others)
        rows.append(("  random, mean", spread(metric, mean, deviation or 0.0)))
    sentence = comparison_text(result)
    return [*rows, *([("comparison", sentence)] if sentence else [])]


def _budget_rows(result: Mapping[str, Any]) -> list[Row]:
    rows = []
    for item in result.get("budget") or ():
        verdict = "met" if item.get("met") else "not met"
        text = f"{verdict}: {plain(item.get('value'))} of at most {plain(item.get('limit'))}"
        rows.append((f"budget {item.get('name', '')}".strip(), text))
    return rows


def plain(value: object) -> str:
    """Write a number with at most four significant digits and thousands apart; else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (abs(value) < 1e15 and value == int(value)):
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _file_rows(result: Mapping[str, Any], folder: Path) -> list[Row]:
    rows = [("genotype", folder / "genotype.json")]
    rows += [("picture", path) for path in sorted((folder / "plots").glob("*.svg"))]
    rows += [("report", folder / "report.html")]
    found = [(label, str(path)) for label, path in rows if path.is_file()]
    for export in result.get("exports") or ():
        if str(export.get("format", "")).lower() == "onnx":
            written = export.get("status", "written") == "written" and export.get("path")
            text = str(_inside(folder, str(export["path"]))) if written else export.get("status")
            found.append(("ONNX", str(text or "not written")))
            sentence = integers_text(export)
            found += [("  integers", sentence)] if sentence else []
    return found


def integers_text(export: Mapping[str, Any]) -> str:
    """What an export in integers is beside the same network in fp32; empty for any other one."""
    facts = export.get("facts") or {}
    if "computed" not in facts:
        return ""
    parts = [f"{size(export['bytes'])}, in fp32 {size(facts['fp32_bytes'])}"]
    if facts.get("ms") and facts.get("fp32_ms"):
        ratio = facts["fp32_ms"] / facts["ms"]
        verdict = f"{ratio:.1f}x faster" if ratio >= 1 else f"{1 / ratio:.1f}x slower"
        parts.append(f"{verdict} ({facts['ms']:.3g} ms, in fp32 {facts['fp32_ms']:.3g} ms)")
    parts.append(f"{facts['computed']} of {facts['layers']} layers computed in integers")
    whole, layers = export.get("largest_difference"), facts["outputs_off"]
    parts.append(f"largest difference {whole:.1g}, layer by layer {layers:.1g}")
    return "; ".join(parts)


def _inside(folder: Path, path: str) -> Path:
    """A path as a person can use it from where the command ran."""
    given = Path(path)
    return given if given.is_absolute() or given.exists() else folder / given
