"""``nas profile`` as it is typed: a device whose times are known, files, and a budget on them."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.build import Parts, data_source
from nas.cli import main
from nas.cli.known_spaces import find
from nas.errors import ConfigError

SPACE = ("space=chain", "data=digits")
# A network takes 3 ms and 1.5 times what its parameters, at 1 us each, say.
LAB = """
def measure(module, example):
    ms = 1e-3 * sum(p.numel() for p in module.parameters()) + 1e-9
    return 3 + 1.5 * ms if type(module).__name__ == "Network" else ms

def broken(module, example):
    return -1.0
"""


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "device_lab.py").write_text(LAB)
    yield tmp_path
    sys.modules.pop("device_lab", None)


def test_a_device_of_known_times_is_found_exactly_and_limits_a_search(
    capfd: pytest.CaptureFixture[str],
) -> None:
    own = ("from=device_lab.measure", "plugins=[device_lab]", "name=lab", "networks=10")
    assert main(["profile", *SPACE, *own, "--json"]) == 0
    told: dict[str, Any] = json.loads(capfd.readouterr().out)
    assert told["calibration"] == pytest.approx({"intercept_ms": 3, "factor": 1.5}, rel=1e-5)
    assert told["quality"]["calibrated"]["mean"] == pytest.approx(0, abs=1e-6)
    assert told["quality"]["calibrated"]["kendall"] == pytest.approx(1)
    folder = Path(told["folder"])
    assert sorted(f.name for f in folder.iterdir()) == [
        "latency.json",
        "networks.csv",
        "scatter.svg",
    ]
    with (folder / "networks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["part"] for row in rows] == ["fit"] * 5 + ["judge"] * 5
    # exactly what the counted parameters of a network say
    table = f"cost.latency_ms.table={folder}/latency.json"
    cfg = find("chain").settings("preset=smoke", table, "budget.latency_ms=4")
    parts = Parts(cfg, data_source(cfg).load().without("test"))
    choices = {name: rows[0][name] for name in parts.cost_decisions}
    costs = parts.cost_of(choices)
    assert costs["latency_ms"] == pytest.approx(float(rows[0]["measured_ms"]), rel=1e-4)
    assert costs["latency_ms"] == pytest.approx(3 + 1.5e-3 * costs["params"], rel=1e-5)
    assert [(c.cost.name, c.target) for c in parts.objective.constraints] == [("latency_ms", 4.0)]


def test_a_template_filled_in_is_a_table_that_nothing_calibrates(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["profile", *SPACE, "template=phone.csv"]) == 0
    assert "nas profile space=chain data=digits from=phone.csv" in capfd.readouterr().out
    file = Path("phone.csv")
    file.write_text(
        "".join(
            f"{line}2\n" if i else f"{line}\n"
            for i, line in enumerate(file.read_text().splitlines())
        )
    )
    assert main(["profile", *SPACE, "template=phone.csv"]) == 2  # it would undo the work
    assert "is there already" in capfd.readouterr().err
    assert main(["profile", *SPACE, "from=phone.csv"]) == 0
    out = capfd.readouterr().out
    assert "no whole network was timed, so latency_ms is the sum" in out
    (made,) = Path("runs/profile").iterdir()
    assert made.name.startswith("chain-digits-csv-b1-")
    assert [f.name for f in made.iterdir()] == ["latency.json"]


@pytest.mark.slow  # seconds of measuring, on a machine that may be busy
def test_this_machine_is_measured(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *SPACE, "networks=6", "repeats=5"]) == 0
    out = capfd.readouterr().out
    for text in ("calibrated", "fitted  ", "spread  ", "drift   ", "budget.latency_ms="):
        assert text in out
    (made,) = Path("runs/profile").iterdir()
    device = json.loads((made / "latency.json").read_text())["device"]
    assert (device["source"], device["backend"], device["batch"]) == ("here", "eager", 1)


MISTAKES = {
    "backend": (["backend=tpu"], "backend must be one of eager, compiled, onnx"),
    "batch": (["batch=0"], "batch must be a whole number of at least 1"),
    "repeats": (["repeats=2"], "repeats must be a whole number of at least 3"),
    "networks": (["networks=3"], "networks must be a whole number of at least 4"),
    "drift": (["drift=0"], "drift must be a share above 0"),
    "execution": (["execution=fast"], "execution must be one of"),
    "threads": (["threads=0"], "threads must be a whole number of at least 1"),
    "name": (["name=phone"], "name= is of the device that from= is about"),
    "not allowed": (["from=device_lab.measure"], "plugins=[device_lab]"),
    "no time": (["from=device_lab.broken", "plugins=[device_lab]"], "for stem: a time is a finite"),
}


@pytest.mark.parametrize(("words", "told"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_one_sentence_and_leave_nothing(
    words: list[str], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["profile", *SPACE, *words]) != 0
    err = " ".join(capfd.readouterr().err.split())
    assert told in err
    assert "Traceback" not in err
    assert not Path("runs").exists()


def test_a_limit_without_its_cost_says_how_to_make_it() -> None:
    cfg = find("chain").settings("preset=smoke", "budget.latency_ms=4")
    parts = Parts(cfg, data_source(cfg).load().without("test"))
    with pytest.raises(ConfigError, match=r"needs cost.latency_ms.table=FILE; make .* nas profile"):
        parts.costs  # noqa: B018
