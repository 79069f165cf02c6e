from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from nas.app.finished import already, check_same, finished, made_by
from nas.errors import NasError
from nas.store.folder import RunFolder
from nas.store.identity import own_source_digest

SETTINGS = {
    "seed": 0,
    "device": "auto",
    "fresh": False,
    "resume": "auto",
    "optim": {"architecture": {"lr": 3e-4}, "network": {"lr": 1e-16, "betas": [0.5, 0.999]}},
}
STAGES = ("search", "derive")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Make a run whose two stages are done."""
    folder = RunFolder.create(tmp_path / "search" / "name-abc123")
    folder.config.write_text(OmegaConf.to_yaml(OmegaConf.create(SETTINGS)))
    for name in ("search.json", "genotype.json"):
        (folder.path / name).write_text("{}")
    folder.env.write_text(json.dumps({"source": own_source_digest()}))
    folder.set_status("finished")
    return folder


def settings(**changed: object) -> DictConfig:
    return OmegaConf.create({**SETTINGS, **changed})


def test_a_run_is_finished_when_all_its_stages_are_done(run: RunFolder) -> None:
    assert finished(settings(), run, STAGES)
    assert finished(settings(device="cuda"), run, STAGES)
    assert not finished(settings(), run, (*STAGES, "retrain"))
    assert not finished(settings(), run, ("no stage",))
    assert not finished(settings(fresh=True), run, STAGES)
    assert not finished(settings(resume="never"), run, STAGES)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"seed": False}, "seed is 0 there and False here"),
        ({"space": {"cells": 3}}, r"space.cells is \(absent\) there and 3 here"),
        ({"optim": {"architecture": {"lr": 0.1}}}, "lr is 0.0003 there and 0.1 here"),
    ],
)
def test_other_settings_under_the_same_digits_are_noticed(
    run: RunFolder, changed: dict[str, object], named: str
) -> None:
    with pytest.raises(NasError, match=rf"name-abc123 holds a run of other settings .*{named}"):
        finished(settings(**changed), run, STAGES)
    with pytest.raises(NasError, match="move that folder away, or change the seed"):
        check_same(settings(**changed), run)


def test_what_a_retraining_never_reads_does_not_make_it_another(run: RunFolder) -> None:
    here = settings(genotype="latest", strategy={"edge_weights": True})
    there = OmegaConf.create({**SETTINGS, "genotype": "some_run", "strategy": {}})
    run.config.write_text(OmegaConf.to_yaml(there))
    check_same(here, run)


def test_a_damaged_config_is_named(run: RunFolder) -> None:
    run.config.write_text("{")
    with pytest.raises(NasError, match=r"config\.yaml is damaged"):
        check_same(settings(), run)
    run.config.unlink()
    check_same(settings(), run)


def test_when_and_by_which_code_it_was_finished(run: RunFolder) -> None:
    mine = own_source_digest()[:4]
    when = run.status().finished
    assert already(run) == f"already finished {when}, code {mine}; fresh=true runs it again"
    run.env.write_text(json.dumps({"source": "aaaa1", "later_sources": ["bbbb2"]}))
    assert made_by(run) == "code aaaa, bbbb (not the one you have now)"


def test_a_run_killed_after_its_last_file_is_finished(run: RunFolder) -> None:
    run.set_status("running")
    assert run.status().state == "interrupted"
    already(run)
    assert run.status().state == "finished"


def test_it_is_told_without_torch() -> None:
    program = (
        "import sys; import nas.app.finished, nas.app.verbs, nas.app.naming, nas.app.sweep; "
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert done.returncode == 0
