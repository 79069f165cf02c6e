from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from nas.app.effect import SEARCH_ONLY, check_effect, limits, without_search
from nas.build import plain
from nas.cli.paths import config_dir
from nas.errors import ConfigError
from nas.store.settings import covered


def composed(verb: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose(verb, [*overrides, *(["genotype=x"] if verb == "retrain" else [])])


IDLE = [
    ("retrain", ["trainer.epochs=5"], "nas retrain searches nothing"),
    ("retrain", ["strategy=gdas"], "nas retrain searches nothing"),
    ("retrain", ["strategy.update.order=2"], "nas retrain searches nothing"),
    ("retrain", ["budget.params=1e5"], "nas retrain searches nothing"),
    ("retrain", ["optim.weights.lr=0.1"], "nas retrain searches nothing"),
    ("retrain", ["optim.weights_schedule.minimum=0.1"], "nas retrain searches nothing"),
    ("retrain", ["space.channels=8"], "it shapes the supernet"),
    ("search", ["budget.weight=2"], "the budget has no limit"),
    ("search", ["strategy=random", "trainer.epochs=5"], "this strategy trains no supernet"),
    ("search", ["strategy=random", "optim.weights.lr=0.1"], "this strategy trains no supernet"),
    ("search", ["strategy=random", "space.channels=8"], "it shapes the supernet"),
    ("search", ["strategy=random", "+strategy.edge_weights=false"], "this strategy trains no"),
    ("retrain", ["+strategy/add=warmup"], "nas retrain searches nothing"),
    ("search", ["strategy=spos", "optim.architecture.lr=0.1"], "learns no architecture parameters"),
    ("search", ["strategy=spos", "budget.macs=1e5", "budget.weight=2"], "weighs no penalty"),
    ("search", ["strategy=random", "budget.macs=1e5", "budget.rate=2"], "weighs no penalty"),
    ("search", ["trainer.random_networks=0", "trainer.macs_tolerance=0.1"], "no random networks"),
]


@pytest.mark.parametrize(("verb", "typed", "why"), IDLE)
def test_a_setting_without_effect_is_refused(verb: str, typed: list[str], why: str) -> None:
    with pytest.raises(ConfigError, match="would have no effect") as caught:
        check_effect(composed(verb, *typed), verb, typed)
    assert why in str(caught.value)
    assert typed[-1].partition("=")[0].lstrip("+").replace("/", ".") in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            ["strategy=random", "+strategy/add=partial_channels"],
            r"strategy\.partial_channels would",
        ),
        (
            ["strategy=random", "+strategy/add=warmup"],
            r"strategy\.update\.warmup would .*not there",
        ),
        (
            ["strategy=spos", "+strategy.schedules.temperature._target_=nas.schedules.Temperature"],
            r"strategy\.schedules would have no effect: this strategy has no relaxation",
        ),
    ],
)
def test_a_part_of_a_strategy_that_nothing_reads_is_refused(typed: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_effect(composed("search", *typed), "search", typed)
    check_effect(composed("search", *typed), "search", typed, sweep=True)


@pytest.mark.parametrize(
    ("verb", "typed"),
    [
        ("search", ["trainer.epochs=5", "strategy=gdas", "optim.weights.lr=0.1"]),
        ("search", ["budget.params=1e5", "budget.weight=2"]),
        ("search", ["strategy=darts", "+strategy/add=[partial_channels,warmup]"]),
        ("search", ["strategy=random", "seed=3"]),
        ("search", ["strategy=enas", "optim.architecture.lr=1e-3", "+strategy/add=warmup"]),
        ("search", ["strategy=enas", "budget.macs=1e5", "budget.weight=2"]),
        ("search", ["strategy=conditional_gates", "budget.rate=0.2"]),  # its targets are limits
        ("search", ["space.channels=8", "init=inherit"]),
        ("search", ["stages=[search,derive]", "trainer.network_epochs=3"]),
        ("retrain", ["trainer.network_epochs=5", "optim.network.lr=0.1", "preset=smoke"]),
        ("retrain", ["trainer.random_networks=2", "trainer.macs_tolerance=0.1"]),
        ("retrain", ["experiment=pc_darts_digits", "space.network_channels=8"]),
    ],
)
def test_a_setting_with_an_effect_is_taken(verb: str, typed: list[str]) -> None:
    check_effect(composed(verb, *typed), verb, typed)


def test_in_a_sweep_a_setting_may_be_meant_for_another_strategy() -> None:
    typed = ["strategy=random", "trainer.epochs=5", "space.channels=8", "optim.architecture.lr=0.1"]
    check_effect(composed("search", *typed), "search", typed, sweep=True)


def test_what_a_retraining_never_reads_is_no_part_of_its_identity() -> None:
    plain_settings = plain(composed("retrain"))
    kept = without_search(plain_settings)
    assert "strategy" in plain_settings
    assert "strategy" not in kept
    assert "epochs" not in kept["trainer"]
    assert kept["trainer"]["network_epochs"] == plain_settings["trainer"]["network_epochs"]
    assert set(kept["optim"]) == {"network", "network_schedule"}
    assert without_search(kept) == kept


def test_a_prefix_covers_itself_and_what_lies_under_it_only() -> None:
    assert covered("optim.weights", SEARCH_ONLY)
    assert covered("optim.weights.lr", SEARCH_ONLY)
    assert not covered("optim", SEARCH_ONLY)
    assert not covered("optim.weights_of_mine", SEARCH_ONLY)


def test_limits_are_those_that_are_set() -> None:
    assert limits(composed("search")) == {}
    assert limits(composed("search", "budget.macs=1e6")) == {"macs": 1e6}
