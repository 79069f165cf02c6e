from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from nas.cli.positional import Line, parse, quote
from nas.cli.verbs import VERBS
from nas.errors import ConfigError, NasError


def line(text: str) -> Line:
    verb, *words = text.split()
    return parse(VERBS[verb], words)


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("search", ()),
        ("evaluate latest", ("run=latest",)),
        ("export runs/a/b device=cpu", ("run=runs/a/b", "device=cpu")),
        ("retrain PC_DARTS_cifar", ("genotype=PC_DARTS_cifar",)),
        ("retrain ~/found.json", ("genotype='~/found.json'",)),
        ("search --plan seed=1", ("seed=1", "mode=plan", "hydra.output_subdir=null")),
        ("search ~experiment +a.b=1 ++c=2 x@y=z", ("~experiment", "+a.b=1", "++c=2", "x@y=z")),
        ("search data.root=~/pets", ("data.root='~/pets'",)),
        (
            "search hydra/launcher=joblib seed=range(0,3)",
            ("hydra/launcher=joblib", "seed=range(0,3)"),
        ),
        ("search seed=", ("seed=",)),
    ],
)
def test_words_become_settings(checkout: Path, text: str, overrides: tuple[str, ...]) -> None:
    assert line(text).overrides == overrides


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("search a=1 -m b=2", ("--multirun",)),
        ("search --cfg job --resolve", ("--cfg=job", "--resolve")),
        ("search -c=all -p optim", ("--cfg=all", "--package=optim")),
        ("search --info space=darts", ("--info=all",)),
        ("search --info defaults -cd conf", ("--info=defaults", "--config-dir=conf")),
        ("search -i=plugins", ("--info=plugins",)),
        ("search -sc install=bash", ("--shell-completion",)),
        ("search --config-dir=~/conf", ("--config-dir=~/conf",)),
    ],
)
def test_hydras_options_come_first(text: str, options: tuple[str, ...]) -> None:
    assert line(text).options == options


def test_what_is_taken_off() -> None:
    found = line("search --json --quiet -m seed=0,1 -cd conf -cd more")
    assert (found.json, found.quiet, found.multirun) == (True, True, True)
    assert found.config_dirs == (Path("conf"), Path("more"))
    assert found.overrides == ("seed=0,1",)
    assert found.command[:3] == ("nas", "search", "--json")


def test_an_existing_path_with_an_equals_sign_is_a_word(checkout: Path) -> None:
    folder = checkout / "work" / "lr=3" / "run"
    folder.mkdir(parents=True)
    assert line("evaluate lr=3/run").overrides == ("run='lr=3/run'",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("search --mutlirun", "unknown option '--mutlirun'; did you mean '--multirun'?"),
        ("search --seed=3", "unknown option '--seed'; settings have no dashes: seed=3"),
        ("search -x", "unknown option '-x'"),
        ("search --cfg", "option --cfg needs a value"),
        ("search --from", "option --from needs a value"),
        ("search --cfg nope", "option --cfg is one of job, hydra, all; got 'nope'"),
        ("search --info=nope", "option --info is one of all, .*; got 'nope'"),
        ("search gdas", "unexpected 'gdas'; did you mean strategy=gdas?"),
        ("search seed 3", "unexpected 'seed'; settings are written key=value"),
        ("search =3", "unexpected '=3'; settings are written key=value"),
        (
            "export latest --plan",
            "nas export has no plan; --plan goes with search, retrain, bench and bench build",
        ),
        ("evaluate latest older", "unexpected 'older'; settings are written key=value"),
    ],
)
def test_lines_that_are_not_understood(checkout: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        line(text)


def saved_run(checkout: Path, text: str) -> Path:
    folder = checkout / "work" / "runs" / "search" / "darts-pc_darts-s0-abc123"
    (folder / ".hydra").mkdir(parents=True)
    (folder / "status.json").write_text('{"state": "finished"}')
    (folder / ".hydra" / "overrides.yaml").write_text(text)
    return folder


def test_from_puts_a_runs_settings_first_but_what_is_given_wins(checkout: Path) -> None:
    saved_run(checkout, "- strategy=gdas\n- seed=3\n- +extra.x=1\n")
    found = line("search --from darts-pc_darts-s0-abc123 seed=4 device=cpu")
    assert found.overrides == ("strategy=gdas", "+extra.x=1", "seed=4", "device=cpu")


def test_from_looks_where_runs_says(checkout: Path) -> None:
    folder = saved_run(checkout, "- seed=3\n")
    (checkout / "work" / "runs").rename(checkout / "work" / "else where")
    found = parse(VERBS["search"], [f"--from={folder.name}", "runs=else where"])
    assert found.overrides == ("seed=3", "runs='else where'")


def test_a_saved_run_allows_no_modules_and_sets_nothing_of_hydras(checkout: Path) -> None:
    folder = saved_run(
        checkout, "- plugins=[my_lab]\n- +hydra.callbacks.x._target_=a.B\n- seed=3\n"
    )
    assert line(f"search --from {folder}").overrides == ("seed=3",)
    assert line(f"search --from {folder} plugins=[b]").plugins == ["b"]


def test_a_group_chosen_again_leaves_the_class_out_that_stood_in_its_place(checkout: Path) -> None:
    saved = ["~space=null", "++space._target_=a.B", "++space.x=1", "++strategy.x=2"]
    folder = saved_run(checkout, "".join(f"- {text}\n" for text in saved))
    found = line(f"search --from {folder} space=darts")
    assert found.overrides == ("++strategy.x=2", "space=darts")
    assert line(f"search --from {folder}").overrides == tuple(saved)


def test_from_a_run_without_settings(checkout: Path) -> None:
    folder = saved_run(checkout, "[]\n")
    assert line(f"search --from {folder}").overrides == ()
    (folder / ".hydra" / "overrides.yaml").write_text("a: {")
    with pytest.raises(ConfigError, match=r"overrides\.yaml cannot be read"):
        line(f"search --from {folder}")
    (folder / ".hydra" / "overrides.yaml").unlink()
    with pytest.raises(ConfigError, match="is missing, so that run's settings cannot be repeated"):
        line(f"search --from {folder}")
    with pytest.raises(NasError, match="no run 'nope'"):
        line("search --from nope")


def read(value: str) -> object:
    return OverridesParser.create().parse_override(f"key={value}").value()


@pytest.mark.parametrize(
    ("typed", "quoted"),
    [
        ("~/pets", "'~/pets'"),
        ("~/a,~/b", "'~/a','~/b'"),
        ("[~/a, 3,[x y]]", "['~/a', 3,['x y']]"),
        ("choice(~/a,b)", "choice('~/a',b)"),
        ("range(start=1,stop=5)", "range(start=1,stop=5)"),
        ("tag(t, interval(0, 1))", "tag(t,interval(0, 1))"),
        ("{a: ~}", "{a: ~}"),
        ("'as it is ~'", "'as it is ~'"),
        ("a${b}c", "a${b}c"),
        ("my data", "'my data'"),
        ("/tom's/(1)", r"'/tom\'s/(1)'"),
        ("a=b", "'a=b'"),
        ("jürgen", "'jürgen'"),
        ("3e-4", "3e-4"),
        ("null", "null"),
        ("C:\\x y\\", "'C:\\x y\\\\'"),
        ("[1,2", "[1,2"),
        ("", ""),
    ],
)
def test_only_what_hydra_rejects_is_quoted(typed: str, quoted: str) -> None:
    assert quote(typed) == quoted


PATHS = st.text(st.characters(codec="utf-8", exclude_characters=",\n\r"), min_size=1)


@given(PATHS)
def test_a_quoted_path_reads_back_as_typed(path: str) -> None:
    typed = f"~/{path.replace('${', '')}"
    assert read(quote(typed)) == typed.strip()


@given(st.from_regex(r"[A-Za-z0-9_/.:+-]{1,12}", fullmatch=True))
def test_plain_words_are_left_alone(word: str) -> None:
    assert quote(word) == word
