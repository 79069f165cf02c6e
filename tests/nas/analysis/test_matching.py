from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nas.analysis.matching import select, value_of
from nas.errors import ConfigError
from nas.store.folder import RunFolder
from nas.store.record import Record
from nas.store.settings import flat

SETTINGS = {
    "seed": 0,
    "device": "auto",
    "strategy": {"edge_weights": False},
    "optim": {"lr": 0.1},
    "data": {"split_seed": 0},
}


class Runs:
    """Makes the files of finished runs, one second after the other."""

    def __init__(self, root: Path) -> None:
        self.root, self.count = root, 0

    def __call__(
        self,
        strategy: str,
        seed: int,
        overrides: tuple[str, ...] = (),
        *,
        state: str = "finished",
        result: Mapping[str, Any] | None = None,
        env: Mapping[str, Any] | None = None,
        choices: Mapping[str, str] | None = None,
        **changed: Any,
    ) -> Record:
        self.count += 1
        run = RunFolder.create(self.root / "search" / f"{strategy}-s{seed}-{self.count}")
        settings: dict[str, Any] = {**SETTINGS, "seed": seed}
        settings["strategy"] = {"edge_weights": strategy == "pc_darts"}
        settings |= changed
        run.config.write_text(json.dumps(settings))
        record = {
            "source": "aaaa",
            "data": "print",
            "choices": {"strategy": strategy, **(choices or {})},
            "command": ["nas", "search"],
            "overrides": [f"strategy={strategy}", f"seed={seed}", *overrides],
            **(env or {}),
        }
        run.env.write_text(json.dumps(record))
        network = {"name": "found", "test": {"accuracy": 0.5}, "parameters": 7}
        run.result.write_text(
            json.dumps({"metric": "accuracy", "networks": [network], **(result or {})})
        )
        times = {"updated": f"{self.count:03}", "finished": f"{self.count:03}"}
        run.status_file.write_text(json.dumps({"state": state, **times}))
        return Record(run)


@pytest.fixture
def made(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def taken(records: list[Record], by: str = "strategy") -> list[tuple[str, int]]:
    return [(entry.group, entry.seed) for entry in select(records, by).entries]


def test_runs_that_differ_in_the_strategy_and_the_seed_are_compared(made: Runs) -> None:
    records = [made(name, seed) for name in ("darts", "pc_darts") for seed in (0, 1)]
    found = select(records, "strategy")
    assert taken(records) == [("darts", 0), ("darts", 1), ("pc_darts", 0), ("pc_darts", 1)]
    assert (found.metric, found.higher_is_better) == ("accuracy", True)
    assert (found.left_out, found.notes) == ((), ())
    assert found.command == ("search",)
    assert found.entries[0].parameters == 7.0


def test_a_run_that_differs_in_something_else_is_left_out_with_the_reason(made: Runs) -> None:
    records = [made("darts", 0), made("pc_darts", 0)]
    records.append(made("darts", 1, ("optim.lr=0.2",), optim={"lr": 0.2}))
    found = select(records, "strategy")
    assert taken(records) == [("darts", 0), ("pc_darts", 0)]
    assert found.left_out == (("search/darts-s1-3", "has optim.lr 0.2 and not 0.1"),)


def test_what_only_says_how_a_run_was_done_does_not_matter(made: Runs) -> None:
    records = [made("darts", 0, ("device=cpu",), device="cpu"), made("pc_darts", 0)]
    assert len(taken(records)) == 2


def test_settings_typed_in_one_command_and_default_in_the_other_are_equal(made: Runs) -> None:
    records = [made("darts", 0, ("optim.lr=0.1",)), made("pc_darts", 0)]
    assert len(taken(records)) == 2


def test_what_follows_from_the_setting_compared_is_noted(made: Runs) -> None:
    """An experiment's file sets several things at once; the command names only it."""
    records = [
        made("darts", seed, (f"experiment={name}",), choices={"experiment": name}, optim={"lr": lr})
        for name, lr in (("first", 0.1), ("second", 0.2))
        for seed in (0, 1)
    ]
    found = select(records, "experiment")
    assert [entry.group for entry in found.entries] == ["first", "first", "second", "second"]
    assert found.notes == ("with experiment also differ: optim.lr",)


def test_sets_of_equal_size_are_not_chosen_from(made: Runs) -> None:
    records = [
        made("darts", 0, (f"optim.lr={lr}",), optim={"lr": lr}, choices={"optim": f"o{lr}"})
        for lr in (0.1, 0.2)
    ]
    with pytest.raises(ConfigError, match=r"runs differ in optim.lr 0.1 and 0.2, in sets of equal"):
        select(records, "strategy")
    with pytest.raises(ConfigError, match="name the runs of one set, or compare by=optim"):
        select(records, "strategy")
    assert taken(records, "optim") == [("o0.1", 0), ("o0.2", 0)]
    assert taken(records, "optim.lr") == [("0.1", 0), ("0.2", 0)]


def test_a_default_that_changed_between_runs_of_a_group_is_noticed(made: Runs) -> None:
    records = [made("darts", 0, optim={"lr": 0.3}), made("darts", 1), made("pc_darts", 0)]
    found = select(records, "strategy")
    assert taken(records) == [("darts", 1), ("pc_darts", 0)]
    assert found.left_out == (("search/darts-s0-1", "has optim.lr 0.3 and not 0.1"),)


def test_settings_that_follow_the_seed_may_differ(made: Runs) -> None:
    records = [
        made(name, seed, optim={"lr": seed}) for name in ("darts", "pc_darts") for seed in (3, 4)
    ]
    assert len(taken(records)) == 4


def test_of_two_runs_with_one_seed_the_newer_is_taken(made: Runs) -> None:
    records = [made("darts", 0), made("darts", 0), made("pc_darts", 0)]
    found = select(records, "strategy")
    assert [entry.run for entry in found.entries] == ["search/darts-s0-2", "search/pc_darts-s0-3"]
    (out,) = found.left_out
    assert out[0] == "search/darts-s0-1"
    assert "a newer run" in out[1]


def test_runs_without_a_result_are_left_out(made: Runs) -> None:
    records = [
        made("darts", 0),
        made("darts", 1, state="failed"),
        made("darts", 2, result={"networks": []}),
        made("darts", 3, seed_is_lost=True),
    ]
    records[3].settings.pop("seed")
    found = select(records, "strategy")
    assert taken(records) == [("darts", 0)]
    reasons = dict(found.left_out)
    assert reasons == {
        "search/darts-s1-2": "is failed",
        "search/darts-s2-3": "has no test result",
        "search/darts-s3-4": "has no seed",
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"result": {"metric": "iou"}},
            "different metrics .accuracy and iou.; compare runs of one",
        ),
        (
            {"env": {"data": "other"}, "data": {"split_seed": 3}},
            "different data .data.split_seed 0 and 3.; compare runs on the same data and splits",
        ),
        ({"env": {"data": "other"}}, "different data .the stored files themselves."),
    ],
)
def test_other_data_or_metrics_are_refused(made: Runs, changed: dict[str, Any], said: str) -> None:
    networks = [{"name": "found", "test": {"accuracy": 0.5, "iou": 0.5}}]
    changed = {**changed, "result": {"networks": networks, **changed.get("result", {})}}
    records = [made("darts", 0), made("pc_darts", 0, **changed)]
    with pytest.raises(ConfigError, match=rf"darts-s0-1 and search/pc_darts-s0-2 have {said}"):
        select(records, "strategy")


def test_a_setting_that_no_run_has_is_told_with_the_nearest(made: Runs) -> None:
    with pytest.raises(
        ConfigError, match="no run has a setting 'stratgy'; did you mean 'strategy'"
    ):
        select([made("darts", 0)], "stratgy")
    with pytest.raises(ConfigError, match=r"did you mean 'optim\.lr'"):
        select([made("darts", 0)], "optim.lrr")


def test_seeds_are_not_compared(made: Runs) -> None:
    with pytest.raises(ConfigError, match="seeds are what pairs the runs"):
        select([made("darts", 0)], "seed")


def test_without_any_result_the_first_reason_is_told(made: Runs) -> None:
    failed = made("darts", 0, state="failed")
    with pytest.raises(ConfigError, match=r"none of these 1 runs can be compared; .* is failed"):
        select([failed], "strategy")


def test_runs_of_several_versions_and_of_the_smoke_preset_are_noted(made: Runs) -> None:
    smoke = {"preset": "smoke"}
    records = [
        made("darts", 0, choices=smoke),
        made("pc_darts", 0, choices=smoke, env={"source": "bbbb"}),
    ]
    assert select(records, "strategy").notes == (
        "the runs were made by 2 versions of the code (aaaa, bbbb)",
        "preset=smoke shows that everything runs; its figures mean nothing",
    )


def test_the_value_of_a_setting_is_a_choice_first(made: Runs) -> None:
    record = made("darts", 3)
    assert value_of(record, "strategy") == "darts"
    assert value_of(record, "optim.lr") == "0.1"
    assert value_of(record, "optim") is None
    assert flat(SETTINGS).keys() == record.settings.keys()
