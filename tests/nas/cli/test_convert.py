"""``nas convert``: every form of a genotype is read, and what is none is refused in a sentence."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nas import genotype as files
from nas.console import MAX_COLUMNS
from nas.dataspec import DataSpec
from nas.space import fingerprint
from search_spaces.darts import DartsSpace
from search_spaces.nasbench201 import NAMED, NasBench201Space

Say = Callable[..., "tuple[int, str, str]"]
CIFAR = DataSpec((3, 32, 32), "classes", 10)
DARTS = DartsSpace(CIFAR)
CELL = NAMED["NB201_ResNet"]
# As printed in the repository of the paper (yuhuixu1993/PC-DARTS: genotypes.py).
PC_DARTS = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), "
    "('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), "
    "('dil_conv_3x3', 1)], normal_concat=range(2, 6), reduce=[('sep_conv_5x5', 1), "
    "('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], reduce_concat=range(2, 6))"
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here: Path) -> Path:
    """A run on NAS-Bench-201 whose genotype changed between epoch 9 and its end."""
    space = NasBench201Space(CIFAR, channels=4, cells=1)
    folder = here / "runs" / "search" / "nasbench201-gdas-s0-abc123"
    before = CELL.replace("nor_conv_3x3~0", "none~0")
    for name, text in (("genotype.json", CELL), ("genotypes/epoch_009.json", before)):
        choices = space.parse(text)
        file = files.make("nasbench201", fingerprint(space), choices, args={"cells": 1})
        files.save(folder / name, file)
    (folder / "status.json").write_text('{"state": "finished"}')
    (folder / "config.yaml").write_text(
        "space: {_target_: search_spaces.nasbench201.NasBench201Space}\nplugins: []\n"
    )
    (here / "runs" / "latest").symlink_to("search/nasbench201-gdas-s0-abc123")
    return folder


def test_text_with_the_concatenation_as_list_or_range_is_the_published_cell(say: Say) -> None:
    as_list = PC_DARTS.replace("range(2, 6)", "[2, 3, 4, 5]")
    shown = [json.loads(say("convert", t, "--json").out) for t in (PC_DARTS, as_list)]  # type: ignore[attr-defined]
    named = json.loads(say("convert", "PC_DARTS_cifar", "--json").out)  # type: ignore[attr-defined]
    assert {each["id"] for each in (*shown, named)} == {named["genotype"]["id"]}
    assert named["space"] == "darts"
    assert named["genotype"]["choices"] == json.loads(
        json.dumps(DARTS.from_cells(DARTS.named()["PC_DARTS_cifar"]))
    )


def test_a_line_of_the_released_file_is_read_with_its_name(say: Say, here: Path) -> None:
    for name in ("DARTS = ", "  genotype=  "):
        found = json.loads(say("convert", name + PC_DARTS, "--json")[1])
        assert found["text"] == json.loads(say("convert", PC_DARTS, "--json")[1])["text"]
    (here / "cell.txt").write_text(f"PC_DARTS_cifar={PC_DARTS}  # with a comment\n")
    assert say("convert", "cell.txt")[1] == say("convert", PC_DARTS)[1]


def test_what_is_printed_is_read_again_and_fits_the_terminal(say: Say) -> None:
    status, out, err = say("convert", "PC_DARTS_cifar")
    assert status == 0
    assert out.startswith("Genotype(normal=[")
    assert max(map(len, out.splitlines())) <= MAX_COLUMNS
    assert err == "next    nas retrain PC_DARTS_cifar space=darts\n"
    assert DARTS.parse(out) == DARTS.from_cells(DARTS.named()["PC_DARTS_cifar"])
    assert say("convert", out)[1] == out
    status, out, _ = say("convert", "NB201_ResNet")
    assert (status, out) == (0, f"{CELL}\n")


@pytest.mark.parametrize(("text", "space"), [(PC_DARTS, "darts"), (CELL, "nasbench201")])
def test_text_becomes_a_file_and_the_file_that_text(say: Say, text: str, space: str) -> None:
    status, out, err = say("convert", text, "out=cell.json")
    assert (status, err) == (0, "")
    file = files.load("cell.json")
    assert file.space.name == space
    assert f"next    nas retrain cell.json space={space} · nas show cell.json" in out
    assert say("convert", "cell.json", "out=cell.txt")[0] == 0
    back = json.loads(say("convert", "cell.txt", "--json")[1])
    assert back["id"] == file.id
    assert Path("cell.txt").read_text() == back["text"] + "\n"
    # widths are left to whoever trains it; what shapes the decisions is there
    assert "channels" not in file.space.args
    assert "operations" in file.space.args
    assert say("show", "cell.json")[0] == 0


def test_standard_input_is_text_or_a_file(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"  {CELL}\n"))
    status, out, _ = say("convert", "-", "to=json")
    assert status == 0
    assert json.loads(out)["provenance"] == {"source": "text"}
    monkeypatch.setattr(sys, "stdin", io.StringIO(out))
    assert say("convert", "-")[1] == f"{CELL}\n"


def test_a_run_and_one_of_its_epochs(say: Say, run: Path) -> None:
    assert say("convert", "latest") == (
        0,
        f"{CELL}\n",
        "next    nas retrain latest space=nasbench201\n",
    )
    before = CELL.replace("nor_conv_3x3~0", "none~0")
    for word in ("latest@epoch_9", "abc123@epoch_009", str(run / "genotypes" / "epoch_009.json")):
        assert say("convert", word)[1] == f"{before}\n"
    assert say("convert", "latest", "out=copy.json")[0] == 0
    assert Path("copy.json").read_text() == (run / "genotype.json").read_text()


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["NASNet"], 1, "NASNet is no genotype of space 'darts': the normal cell has 5 nodes"),
        (["SETN"], 1, "SETN is no genotype of space 'darts': .*'conv_3x1_1x3' is not in this"),
        (["FairDARTS_b"], 1, "normal node 3 has inputs [1]; this space keeps 2 different ones"),
        (["PCDARTS_cifar"], 1, "no genotype 'PCDARTS_cifar': .*did you mean 'PC_DARTS_cifar'?"),
        (["latest"], 1, "runs/latest does not exist"),
        (["gone.json"], 1, "gone.json"),
        (["Genotype(normal=3)"], 1, "a genotype text has the fields normal, normal_concat"),
        (["A = B = Genotype(normal=3)"], 1, "no genotype 'A = B = Genotype(normal=3)'"),
        (["A = Genotype(normal=3); B"], 1, "a genotype text reads Genotype("),
        (["A = Genotype(normal=print(1))"], 1, "a genotype text has the fields"),
        (["Genotyp(normal=3)"], 1, "texts begin with 'chain:' (chain) or 'Genotype(' (darts)"),
        (["|none~0|"], 1, "3 nodes joined by '+'"),
        ([CELL, "space=darts"], 1, "not a genotype text"),
        (["PC_DARTS_cifar", "space=nasbench201"], 1, "no genotype 'PC_DARTS_cifar'"),
        ([CELL, "space=nosuch"], 2, "no space 'nosuch'"),
        ([CELL, "to=yaml"], 2, "to must be text or json, got 'yaml'"),
        ([CELL, "to=text", "out=a.json"], 2, "out=a.json would hold no JSON"),
        ([CELL, "into=a.json"], 2, "unknown setting 'into'"),
        ([], 2, "nas convert needs more words"),
    ],
    ids=lambda value: None if isinstance(value, int) else str(value)[:30],
)
def test_what_is_no_genotype_is_refused(
    say: Say, words: list[str], status: int, sentence: str
) -> None:
    found, out, err = say("convert", *words)
    said = " ".join(err.split())
    assert (found, out) == (status, "")
    assert all(part in said for part in sentence.split(".*")), said
    assert not list(Path().glob("*.json"))


def test_a_file_of_another_space_or_a_damaged_one_is_refused(say: Say, run: Path) -> None:
    status, _, err = say("convert", "latest", "space=darts")
    assert status == 1
    assert "is a genotype of space 'nasbench201', not of 'darts'" in " ".join(err.split())
    Path("cell.txt").write_text("|none~0|+|\n")
    status, _, err = say("convert", "cell.txt")
    assert status == 1
    assert err.startswith("error: cell.txt: a NAS-Bench-201 string has 3 nodes")
    edited = (run / "genotype.json").read_text().replace("skip_connect", "none")
    Path("edited.json").write_text(edited)
    status, _, err = say("convert", "edited.json")
    assert status == 1
    assert "edited by hand" in " ".join(err.split())
