"""What the numbers of one run do not show, said next to them."""

from collections.abc import Mapping
from typing import Any

from nas.analysis.summary import (
    ACCURACY,
    PAIRED_SEEDS,
    in_words,
    metric_of,
    network_named,
    number,
    random_networks,
)


def caveats(result: Mapping[str, Any]) -> list[str]:
    """Return plain sentences that hold for this result, most important first."""
    told = [_sentence(str(note)) for note in result.get("notes") or ()]
    return [*_comparison(result), *_measured(result), *told, *_costs(result), *_rest(result)]


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:].rstrip('.')}."


def _comparison(result: Mapping[str, Any]) -> list[str]:
    count = len(random_networks(result))
    seed = result.get("seed")
    one = f"This is one run with one seed{f' ({seed})' if seed is not None else ''}"
    if not count:
        text = "no random genotype was retrained beside it, so nothing here says what the search "
        return [f"{one}, and {text}itself contributed."]
    return [
        f"{one}: how far its numbers would move with another seed is not known from it.",
        f"{count} random genotype{'s' if count > 1 else ''} retrained alike give an impression, "
        "not a test. That one search finds better networks than another, or than chance, needs "
        f"at least {PAIRED_SEEDS} paired seeds and a paired test.",
    ]


def _measured(result: Mapping[str, Any]) -> list[str]:
    metric, found = metric_of(result), network_named(result, "found")
    value, count = number(found, "test", metric), number(found, "test", "count")
    texts = []
    if value is not None and count:
        texts.append(_of_test(metric, value, count))
    if number(result.get("search"), "validation", metric) is not None:
        plural = "Accuracies" if metric == ACCURACY else f"Values of {in_words(metric)}"
        texts.append(
            f"{plural} during the search are those of the supernet, whose weights all candidates "
            "share; they are no estimate of a retrained network's."
        )
    return texts


def _of_test(metric: str, value: float, count: float) -> str:
    if metric != ACCURACY:
        return (
            f"The test {in_words(metric)} is a mean over {count:.0f} test examples; how far it "
            "would move with others is not known from it."
        )
    error = 100 * (value * (1 - value) / count) ** 0.5
    return (
        f"With {count:.0f} test examples one more or one less is {100 / count:.2f} points, and "
        f"the standard error of the found network's accuracy is about {error:.1f} points."
    )


def _costs(result: Mapping[str, Any]) -> list[str]:
    macs = [n for n in (number(e, "macs") for e in result.get("networks") or ()) if n is not None]
    texts = []
    if macs:
        texts.append("MACs and parameters are counted, not measured: they are no latency.")
    tolerance = number(result, "macs_tolerance") or 0.0
    if len(macs) > 1 and min(macs) > 0 and max(macs) / min(macs) - 1 > tolerance:
        apart = 100 * (max(macs) / min(macs) - 1)
        texts.append(f"The networks compared differ by up to {apart:.0f} % in MACs.")
    missed = [str(b.get("name", "")) for b in result.get("budget") or () if not b.get("met")]
    if missed:
        texts.append(f"The budget is not met for: {', '.join(missed)}.")
    return texts


def _rest(result: Mapping[str, Any]) -> list[str]:
    texts = []
    if result.get("preset") in ("cpu", "smoke"):
        published = "accuracies" if metric_of(result) == ACCURACY else "figures"
        texts.append(
            f"preset={result['preset']} shortens and narrows everything; published {published} "
            "come from far longer training and do not compare with these."
        )
    failed = [
        f"{e.get('format', 'unknown')} ({e.get('status')})"
        for e in result.get("exports") or ()
        if e.get("status", "written") != "written"
    ]
    if failed:
        texts.append(f"Not exported: {'; '.join(failed)}.")
    return texts
