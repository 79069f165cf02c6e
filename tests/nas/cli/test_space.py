"""``nas space``: what is listed, measured and checked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nas.console import MAX_COLUMNS
from nas.costs import count_macs, count_parameters
from nas.dataspec import DataSpec
from nas.space import enumerate_genotypes
from nas.templates.space import MySpace

Say = Callable[..., "tuple[int, str, str]"]
BROKEN = """
from nas.templates.space import MySpace as Theirs

class Mine(Theirs):
    def __init__(self, data, channels=2, blocks=1):
        super().__init__(data, channels, blocks)
    def supernet(self):
        return super().supernet()
    def network(self, genotype):
        return super().network({name: "skip" for name in genotype})
    def size(self):
        return 4
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("own_space", None)


def test_every_space_is_listed(say: Say) -> None:
    status, out, err = say("space", "list")
    assert (status, err) == (0, "")
    assert "nasbench201  The cell of NAS-Bench-201 (arXiv 2001.00326)" in out
    assert out.splitlines()[-1].startswith("next  nas space size chain")
    assert [row["name"] for row in json.loads(say("space", "list", "--json")[1])] == [
        "chain",
        "darts",
        *(f"darts_s{number}" for number in range(1, 5)),
        "macro_chain",
        "mobile",
        "nasbench201",
        "superbit",
        "toy",
    ]


def test_a_space_is_shown_with_settings_and_decisions(say: Say) -> None:
    status, out, err = say("space", "show", "nasbench201", "preset=paper")
    assert (status, err) == (0, "")
    for text in ("15,625", "search_spaces.nasbench201.NasBench201Space", "NB201_ResNet"):
        assert text in out
    row = next(line for line in out.splitlines() if line.startswith("space.network_cells"))
    assert row.split() == ["space.network_cells", "5"]
    assert max(map(len, out.splitlines())) <= MAX_COLUMNS
    shown = json.loads(say("space", "show", "darts", "--json")[1])
    assert shown["genotypes"] == (180 * 49**4) ** 2
    assert [row["count"] for row in shown["decisions"]] == [14, 1, 1, 1, 1] * 2


def test_the_sizes_of_all_networks_of_a_small_space_are_counted(say: Say) -> None:
    assert say("new", "space", "own_space")[0] == 0
    config = Path("conf/space/own_space.yaml")
    config.write_text(config.read_text().replace("blocks: 4", "blocks: 2"))
    status, out, err = say("space", "size", "own_space", "preset=smoke", "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    space = MySpace(DataSpec((1, 8, 8), "classes", 10), channels=4, blocks=2)
    networks = [space.network(genotype) for genotype in enumerate_genotypes(space)]
    assert told["genotypes"] == len(networks) == 9
    assert told["counted"] == "all 9"
    for name, counts in {
        "params": sorted(count_parameters(network) for network in networks),
        "macs": sorted(count_macs(network, (1, 8, 8)) for network in networks),
    }.items():
        expected = {"smallest": counts[0], "median": counts[4], "largest": counts[-1]}
        assert told["costs"][name] == expected


def test_the_sizes_of_some_networks_of_a_large_space_are_counted(say: Say) -> None:
    status, out, err = say("space", "size", "nasbench201", "preset=smoke")
    assert (status, err) == (0, "")
    for text in ("15,625", "1x8x8 inputs", "200 drawn at random", "nas space check nasbench201"):
        assert text in out


def test_limits_are_looked_at_before_any_search(say: Say) -> None:
    _, text, _ = say("space", "size", "chain", "budget.params=3000", "--json")
    told = json.loads(text)
    assert "keep to the budget" in told["budget"]["within"]
    assert told["budget"]["budget params"].startswith("at most 3,000; random networks ")
    status, _, wrong = say("space", "size", "chain", "budget.params=3", "budget.macs=1e9")
    assert status == 2
    assert "cannot be met: the nearest network found has params" in " ".join(wrong.split())


def test_a_template_passes_its_check(say: Say) -> None:
    assert say("new", "space", "own_space")[0] == 0
    status, out, err = say("space", "check", "own_space")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    checks = [line for line in lines if line.startswith("ok    ")]
    assert len(checks) == 11
    assert lines[-2:] == [
        "next  nas space size own_space",
        "      nas search --config-dir=conf space=own_space 'plugins=[own_space]' preset=smoke",
    ]


def test_a_space_with_a_fault_fails_with_the_sentence_of_the_check(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.cli.space._others", lambda space, data: [])  # it takes seconds
    Path("own_space.py").write_text(BROKEN)
    status, out, err = say("space", "check", "own_space")
    assert status == 1
    assert out.splitlines()[-1] == (
        "FAIL  size() is the number of genotypes, where they can be counted"
    )
    said = " ".join(err.split())
    assert "does not keep the contract: size() says 4, but there are 3 genotypes" in said
    Path("own_space.py").write_text(BROKEN.replace("return 4", "return 3  # of another length"))
    del sys.modules["own_space"]
    status, out, err = say("space", "check", "own_space", "--json")
    told = json.loads(out)
    assert status == 1
    assert not told["passed"]
    results = [row["result"] for row in told["checks"]]
    assert set(results[:-1]) == {"ok"}
    assert "the built network has" in results[-1] or "differ by" in results[-1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lst"], "unknown action 'lst'; did you mean 'list'?"),
        (["remove"], "unknown action 'remove'; nas space takes list, show, size, check"),
        (["size"], "nas space size needs the name of a space"),
        (["list", "darts"], "nas space list takes no name"),
        (["show", "dart"], "did you mean 'darts'?"),
        (["size", "darts", "data=digit"], "unknown data 'digit'; did you mean 'digits'?"),
        (["size", "darts", "preset=tiny"], "unknown preset 'tiny'"),
        (["size", "chain", "budget.mac=1"], "did you mean 'budget.macs'?"),
        (["size", "chain", "budget.latency_ms=1"], "needs cost.latency_ms.table=FILE"),
        (["show", "chain", "budget.macs=1"], "nas space show limits nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_told_in_a_sentence(say: Say, words: list[str], sentence: str) -> None:
    status, out, err = say("space", *words)
    assert (status, out) == (2, "")
    assert sentence in " ".join(err.split())
