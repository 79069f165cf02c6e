"""``nas new``: what it writes runs as it is, and nothing is overwritten."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from nas.cli.new import KINDS, class_name, filled
from nas.dataspec import DataSpec
from nas.files import read_json
from nas.templates.space import MySpace
from nas.templates.strategy import MyStrategy
from nas.testing import check_strategy

Say = Callable[..., "tuple[int, str, str]"]
LONGEST = 60
SHORT = ("preset=smoke", "trainer.epochs=1", "stages=[search,derive]", "logger.tensorboard=false")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("lab_space", "lab_rule", "my_space", "my_strategy"):
        sys.modules.pop(name, None)


def template(name: str) -> str:
    return files("nas.templates").joinpath(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_is_written_short_and_says_how_to_go_on(say: Say, here: Path, kind: str) -> None:
    name = f"my_{kind}"
    status, out, err = say("new", kind, name)
    assert (status, err) == (0, "")
    written = [f"{name}.py", f"conf/{kind}/{name}.yaml"]
    assert sorted(str(p.relative_to(here)) for p in here.rglob("*.*")) == sorted(written)
    for path, source in zip(written, (f"{kind}.py", f"{kind}.yaml"), strict=True):
        assert Path(path).read_text() == template(source)
        assert len(template(source).splitlines()) < LONGEST
        assert path in out
    search = f"nas search --config-dir conf {kind}={name} 'plugins=[{name}]' preset=smoke"
    assert out.splitlines()[-1].strip() == search
    assert search in template(f"{kind}.py")
    assert max(map(len, out.splitlines())) <= 100
    assert say("new", kind, name)[0] == 2


@pytest.mark.parametrize(
    ("name", "expected"), [("lab_space", "LabSpace"), ("a1_b", "A1B"), ("MySpaces", "MySpaces")]
)
def test_the_class_is_named_after_the_module(say: Say, name: str, expected: str) -> None:
    assert class_name(name) == expected
    text = filled(template("space.py"), "space", name)
    tree = ast.parse(text)
    assert [node.name for node in tree.body if isinstance(node, ast.ClassDef)] == [expected]
    assert f"nas space check {name}\n" in text
    assert f"_target_: {name}.{expected}\n" in filled(template("space.yaml"), "space", name)
    told = json.loads(say("new", "space", name, "--json")[1])
    assert told["files"] == [f"{name}.py", f"conf/space/{name}.yaml"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["space", "1st"], "'1st' cannot name a module; write a letter first"),
        (["space", "a-b"], "'a-b' cannot name a module"),
        (["space", "lab.space"], "'lab.space' cannot name a module"),
        (["space", "../x"], "'../x' cannot name a module"),
        (["space", "class"], "'class' cannot name a module"),
        (["space", "torch"], "there is an installed module 'torch', which would hide yours"),
        (["strategy", "json"], "there is an installed module 'json'"),
        (["space", "darts"], "space=darts is one of ours"),
        (["strategy", "gdas"], "strategy=gdas is one of ours"),
        (["task", "mine"], "unknown kind 'task'; nas new makes a space or a strategy"),
        (["spaces", "mine"], "unknown kind 'spaces'; did you mean 'space'?"),
        (["space"], "nas new needs more words"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_name_that_could_not_be_loaded_is_refused(
    say: Say, here: Path, words: list[str], sentence: str
) -> None:
    status, out, err = say("new", *words)
    assert (status, out) == (2, "")
    assert sentence in " ".join(err.split())
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("taken", ["lab_space.py", "conf/space/lab_space.yaml"])
def test_nothing_is_overwritten_and_nothing_half_written(say: Say, here: Path, taken: str) -> None:
    Path(taken).parent.mkdir(parents=True, exist_ok=True)
    Path(taken).write_text("mine")
    status, _, err = say("new", "space", "lab_space")
    assert status == 2
    assert f"{taken} is there already and nothing is overwritten" in " ".join(err.split())
    assert [str(p.relative_to(here)) for p in here.rglob("*.*")] == [taken]
    assert Path(taken).read_text() == "mine"


def test_the_space_has_the_blocks_it_was_asked_for() -> None:
    space = MySpace(DataSpec((3, 7, 9), "classes", 5), channels=2, blocks=2)
    assert list(space.decisions) == ["block0/operation", "block1/operation"]


@pytest.mark.slow
def test_the_strategy_keeps_the_contract() -> None:
    check_strategy(MyStrategy, order=1)
    check_strategy(MyStrategy, edge_weights=False, partial_channels=2)


def test_both_templates_search_together(say: Say, here: Path) -> None:
    assert say("new", "space", "lab_space")[0] == 0
    assert say("new", "strategy", "lab_rule")[0] == 0
    chosen = ("--config-dir", "conf", "space=lab_space", "strategy=lab_rule")
    status, _, err = say("search", *chosen, "plugins=[lab_space,lab_rule]", *SHORT)
    assert status == 0, err
    (found,) = here.glob("runs/search/lab_space-lab_rule-s0-*/genotype.json")
    file = read_json(found)
    assert file["space"]["name"] == "lab_space"
    assert set(file["choices"]) == {f"block{i}/operation" for i in range(4)}
    rows = [json.loads(line) for line in (found.parent / "metrics.jsonl").read_text().splitlines()]
    assert {"loss/architecture", "loss/weights"} <= set(rows[0]["metrics"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_template_goes_through_all_stages(say: Say, here: Path, kind: str) -> None:
    name = f"my_{kind}"
    assert say("new", kind, name)[0] == 0
    chosen = ("--config-dir", "conf", f"{kind}={name}", f"plugins=[{name}]")
    status, _, err = say("search", *chosen, "preset=smoke")
    assert status == 0, err
    (found,) = here.glob("runs/search/*/report.html")
    assert read_json(found.parent / "result.json")[kind] == name


@pytest.mark.slow
def test_a_space_is_searched_by_the_name_of_its_class_alone(say: Say, here: Path) -> None:
    assert say("new", "space", "lab_space")[0] == 0
    named = ("plugins=[lab_space]", "space._target_=lab_space.LabSpace")
    status, _, err = say("search", *named, "preset=smoke")
    assert status == 0, err
    assert list(here.glob("runs/search/labspace-pc_darts-s0-*/report.html"))
