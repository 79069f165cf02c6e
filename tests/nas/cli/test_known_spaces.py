"""Spaces by name: whose class is loaded, and whose is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas import genotype as files
from nas.cli.known_spaces import build, find, listed, of_file
from nas.compression import Compressed, Compression, LowRank
from nas.dataspec import DataSpec
from nas.errors import ConfigError, GenotypeError
from nas.space import fingerprint, sample, size
from search_spaces.darts import DartsSpace
from search_spaces.nasbench201 import NasBench201Space

SOURCE = """
from nas.templates.space import MySpace as Theirs

class Helper:
    def supernet(self): ...

class Mine:
    def __init__(self, data, blocks=2):
        self.inner = Theirs(data, channels=4, blocks=blocks)
        self.decisions = self.inner.decisions
    def supernet(self):
        return self.inner.supernet()
    def network(self, genotype):
        return self.inner.network(genotype)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in ("own_space", "own_lab", "own_lab.inner"):
        sys.modules.pop(name, None)


def wrote(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def test_shipped_spaces_are_listed_with_the_first_line_of_their_file() -> None:
    texts = {entry.name: entry.text for entry in listed()}
    assert list(texts) == [
        "chain",
        "darts",
        *(f"darts_s{number}" for number in range(1, 5)),
        "macro_chain",
        "mobile",
        "nasbench201",
        "superbit",
        "toy",
    ]
    assert texts["darts"] == "Cells of DARTS (arXiv 1806.09055)."
    assert isinstance(build(find("darts").settings()), DartsSpace)
    assert isinstance(build(find("nasbench201").settings()), NasBench201Space)


def test_a_preset_sets_widths_and_no_setting_that_shapes_the_decisions() -> None:
    wide = build(find("nasbench201").settings("preset=paper"))
    assert isinstance(wide, NasBench201Space)
    assert (wide.channels, wide.cells, wide.network_channels, wide.network_cells) == (16, 5, 16, 5)
    own = find("darts").own()
    assert sorted(own.space) == [
        "_target_",
        "auxiliary",
        "nodes",
        "operations",
        "stem",
    ]
    assert fingerprint(build(own)) == fingerprint(build(find("darts").settings("preset=smoke")))


def test_a_module_of_this_folder_is_found_by_its_name() -> None:
    wrote("own_space.py", SOURCE)
    known = find("own_space")
    assert "own_space" not in sys.modules  # looked at, not yet loaded
    assert known.words == ("plugins=[own_space]", "space._target_=own_space.Mine")
    assert size(build(known.settings())) == 3**2


def test_a_config_of_this_folder_comes_before_the_module_beside_it() -> None:
    wrote("own_space.py", SOURCE)
    wrote("conf/space/own_space.yaml", "# Mine.\n_target_: own_space.Mine\nblocks: 3\n")
    known = find("own_space")
    assert known.words == ("--config-dir=conf", "space=own_space", "plugins=[own_space]")
    assert size(build(known.settings())) == 3**3
    assert [(e.name, e.text) for e in listed()][-1] == ("own_space", "Mine.")
    wrote("conf/space/wide.yaml", "defaults: [own_space, _self_]\nblocks: 5\n")
    assert dict(find("wide", ["own_space"]).own().space) == {
        "_target_": "own_space.Mine",
        "blocks": 5,
    }


def test_a_class_is_found_by_its_dotted_name() -> None:
    wrote("own_lab/__init__.py", "")
    wrote("own_lab/inner.py", SOURCE)
    known = find("own_lab.inner.Mine")
    assert known.words == ("plugins=[own_lab.inner]", "space._target_=own_lab.inner.Mine")
    assert size(build(known.settings("space.blocks=1"))) == 3


def test_a_shipped_name_is_never_a_module_of_this_folder() -> None:
    wrote("darts.py", "raise RuntimeError('loaded')\n")
    known = find("darts")
    assert known.words == ("space=darts",)
    assert isinstance(build(known.settings()), DartsSpace)


def test_only_the_module_that_was_named_may_be_loaded() -> None:
    wrote("own_lab/__init__.py", "raise RuntimeError('loaded')\n")
    wrote("conf/space/own_space.yaml", "_target_: own_lab.Mine\n")
    with pytest.raises(ConfigError, match=r"not of a package .* add plugins=\[own_lab\]"):
        build(find("own_space").settings())
    assert "own_lab" not in sys.modules


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "a = 1\n",
            r"own_space\.py has no class with supernet\(\) and network\(\).*own_space\.Mine",
        ),
        (SOURCE + SOURCE.replace("Mine", "Other"), r"has 2 classes with .* as own_space\.Mine"),
        ("def f(:\n", r"own_space\.py is no Python source"),
        (SOURCE + "raise RuntimeError('at the end')\n", "RuntimeError: at the end"),
        (SOURCE.replace("blocks=2", "blocks"), "missing 1 required positional argument: 'blocks'"),
    ],
    ids=["no class", "two classes", "no Python", "raises", "an argument missing"],
)
def test_a_module_that_is_no_space_is_refused(text: str, sentence: str) -> None:
    wrote("own_space.py", text)
    with pytest.raises(ConfigError, match=sentence):
        build(find("own_space").settings())


def test_an_unknown_name_says_what_may_be_written() -> None:
    sentence = r"no space 'dart': .*darts, .*nasbench201.*my_lab\.space\.Mine; did you mean 'darts'"
    with pytest.raises(ConfigError, match=sentence):
        find("dart")


# of genotype files


def genotype_of_darts(name: str = "darts") -> files.GenotypeFile:
    import torch

    space = DartsSpace(DataSpec((1, 8, 8), "classes", 10), nodes=2)
    choices = sample(space, torch.Generator().manual_seed(0))
    return files.make(name, fingerprint(space), choices, args={"nodes": 2})


def test_a_foreign_class_is_not_loaded_whatever_the_run_says() -> None:
    wrote("config.yaml", "space: {_target_: antigravity.Space}\nplugins: [antigravity]\n")
    with pytest.raises(ConfigError, match="not of a package that may be loaded"):
        of_file(genotype_of_darts(), Path("config.yaml"))


@pytest.mark.parametrize("text", ["{", "[]", "space: 3\n", "a: 1\n", "space: {}\n"])
def test_a_damaged_config_falls_back_on_the_shipped_one(text: str) -> None:
    wrote("config.yaml", text)
    space = of_file(genotype_of_darts(), Path("config.yaml"))
    assert isinstance(space, DartsSpace)
    assert space.nodes == 2


def test_a_space_of_no_config_is_refused() -> None:
    with pytest.raises(GenotypeError, match="no config says which class space 'nosuch' is"):
        of_file(genotype_of_darts("nosuch"), Path("config.yaml"))


def test_the_class_of_a_run_is_loaded_where_its_module_is_named() -> None:
    wrote("own_space.py", SOURCE)
    wrote("config.yaml", "space: {_target_: own_space.Mine}\nplugins: [own_space]\n")
    file = genotype_of_darts("mine")
    with pytest.raises(ConfigError, match=r"add plugins=\[own_space\] to the command"):
        of_file(files.make("mine", "0" * 12, file.choices), Path("config.yaml"))
    space = of_file(
        files.make("mine", "0" * 12, file.choices), Path("config.yaml"), plugins=["own_space"]
    )
    assert size(space) == 3**2


def test_the_compression_of_a_file_alone_is_found_by_its_settings() -> None:
    import torch

    for made, settings in (
        (LowRank((0.5,), pointwise=True), {"ranks": [0.5], "pointwise": True, "form": "channel"}),
        (Compression((2, 4), None), {"weight_bits": [2, 4], "activation_bits": None}),
    ):
        few = {"nodes": 1, "operations": ["skip_connect", "sep_conv_3x3"]}
        base = DartsSpace(DataSpec((1, 8, 8), "classes", 10), **few)  # type: ignore[arg-type]
        known = Compressed(base, made)
        choices = sample(known, torch.Generator().manual_seed(0))
        file = files.make("darts", fingerprint(known), choices, args=few, compression=settings)
        space = of_file(file, Path("config.yaml"))
        assert isinstance(space, Compressed)
        assert type(space.compression) is type(made)
        assert fingerprint(space) == fingerprint(known)
