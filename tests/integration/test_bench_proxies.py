"""``nas bench proxies`` as it is typed, on the table that comes along."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import kendalltau, spearmanr

from nas.app.bench import probing
from nas.benchmarks import Query
from nas.benchmarks.query import select
from nas.benchmarks.registry import load
from nas.cli import main

Bench = Callable[..., dict[str, Any]]
WORDS = ("n=6", "batch=16", "preset=smoke", "proxies=[synflow,naswot,params]")


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Bench:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NAS_DATA_DIR", raising=False)

    def run(*words: str) -> dict[str, Any]:
        assert main(["bench", "proxies", *words, "--json"]) == 0
        found: dict[str, Any] = json.loads(capfd.readouterr().out)
        return found

    return run


def test_it_tells_how_proxies_order_a_table(bench: Bench) -> None:
    found = bench(*WORDS)
    folder = Path(found["folder"])
    kept = probing.read(folder / "scores.jsonl")
    assert list(kept) == found["architectures"]
    table = load("chain", Path())
    truth = select(table, Query(split="validation", epochs=8)).mean[found["architectures"]]
    sizes = select(table, Query("parameters")).mean[found["architectures"]]
    assert [each["proxy"] for each in found["proxies"]] == ["synflow", "naswot", "params"]
    for each in found["proxies"]:
        values = [row[each["proxy"]] for row in kept.values()]
        assert each["spearman"] == pytest.approx(spearmanr(values, truth).statistic)
        assert each["kendall"] == pytest.approx(kendalltau(values, truth).statistic)
        low, high = each["spearman_interval"]
        assert -1 <= low <= each["spearman"] <= high <= 1
    params = [row["params"] for row in kept.values()]
    assert spearmanr(params, sizes).statistic == pytest.approx(1)  # rows and networks belong
    assert json.loads((folder / "proxies.json").read_text()) == found


def test_it_goes_on_where_it_was_and_computes_nothing_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bench(*WORDS)
    file = Path(whole["folder"]) / "scores.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3]) + lines[3][:10])  # killed inside the fourth line
    computed = []
    real = probing.scores

    def counted(*given: Any) -> dict[str, float]:
        computed.append(given[-1])
        return real(*given)

    monkeypatch.setattr(probing, "scores", counted)
    assert bench(*WORDS) == whole
    assert file.read_bytes() == b"".join(lines)
    assert len(computed) == 3
    more = bench("n=7", *WORDS[1:3], "proxies=[naswot,params,l2_norm]")
    assert more["folder"] == whole["folder"]
    assert more["architectures"][:6] == whole["architectures"]
    assert computed[3:] == [["l2_norm"]] * 6 + [["naswot", "params", "l2_norm"]]


def test_a_score_that_is_not_finite_is_the_worst(tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"
    file.write_text('{"row": 4, "scores": {"jacov": null}}\n{"row": 2, "scores": {"jacov": -5}}\n')
    found = probing.read(file)
    (values,) = probing.columns(found, ("jacov",)).values()
    assert values[0] < values[1] == -5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("proxies=[synflo]",), "unknown proxy 'synflo'; there are synflow"),
        (("n=2",), r"n must lie in 3..1024, .*; got 2"),
        (("n=few",), "n must be a whole number, got 'few'"),
        (("chain:20302",), "unexpected 'chain:20302'"),
        (("split=tests",), "no accuracy with split tests"),
        (("batch=100000",), "batch size 100000 is larger"),
        (("data=digit",), "digit"),
    ],
)
def test_mistakes_are_told_and_leave_nothing(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "proxies", *words]) != 0
    assert re.search(said, " ".join(capfd.readouterr().err.split()))
    assert not (tmp_path / "runs").exists()


def test_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    never = {"jacov": -math.inf, "params": 1.0}
    monkeypatch.setattr(probing, "scores", lambda *given: never)
    assert main(["bench", "proxies", "n=4", "batch=8", "proxies=[jacov,params]"]) == 0
    text = capfd.readouterr().out
    assert "note    jacov is not finite for 4 networks, ranked last" in text
    assert "against  metric=accuracy dataset=digits split=validation epochs=8" in text
    assert main(["help", "bench"]) == 0
    assert "settings of nas bench list, query, proxies" in capfd.readouterr().out


def test_a_damaged_file_is_told(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    file = Path(bench(*WORDS)["folder"]) / "scores.jsonl"
    file.write_text("nonsense\n")
    assert main(["bench", "proxies", *WORDS]) == 1
    assert "is damaged in line 1" in " ".join(capfd.readouterr().err.split())
