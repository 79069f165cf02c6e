"""What a configuration may name, where that is looked for, and what is said when it fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
from omegaconf import OmegaConf

from nas.errors import ConfigError, NasError
from nas.instantiate import (
    check_names,
    check_targets,
    conforming,
    factory,
    instantiate,
    loaded,
    target_of,
)

PARTS = """\
from os import system
from torch import load
import subprocess

class Part:
    def __init__(self, size=1, other=None):
        self.size, self.other = size, other
    @classmethod
    def double(cls, size):
        return cls(2 * size)

class Failing:
    def __init__(self):
        raise {error}

def function(size):
    return size + 1
"""
DANGEROUS = (
    "os.system",
    "posix.system",
    "builtins.eval",
    "builtins.exec",
    "builtins.__import__",
    "builtins.open",
    "subprocess.run",
    "subprocess.Popen",
    "pickle.loads",
    "shutil.rmtree",
    "importlib.import_module",
    "hydra.utils.instantiate",
    "omegaconf.OmegaConf.load",
    "numpy.load",
    "torch.load",
    "torch.hub.load",
    "torch.serialization.load",
    "torch.jit.load",
    "torch.classes.load_library",
    "torch.utils.cpp_extension.load_inline",
    "torch.nn.modules.module.torch.load",
    "torch.optim.optimizer.torch.hub.load",
    "torch.nn.Module.load_state_dict",
    "torch.nn.Embedding.from_pretrained",
    "torchvision.datasets.utils.download_url",
    "torchvision.datasets.utils.download_and_extract_archive",
    "torchvision.datasets.mnist.os.system",
    "torchvision.io.write_file",
    "torchvision.models.Weights",
    "torchvision.models._api.Weights",
    "nas.cli.main",
    "nas.search",
    "nas.instantiate.instantiate",
    "nas.instantiate.loaded",
    "nas.plugins.importable",
    "nas.files.write_atomic",
    "nas.files.make_directory",
    "nas.store.folder.RunFolder",
    "nas.export.weights.save_weights",
    "nas.export.run.export_all",
    "nas.export.run.shutil.rmtree",
    "nas.data.digits.Path",
    "nas.data.base.torch.load",
    "nas.policies.free_logits.torch.load",
    "search_spaces.ops.torch.hub.load",
)
SHIPPED = (
    "nas.costs.Macs",
    "nas.data.Digits",
    "nas.export.onnx.OnnxExporter",
    "nas.policies.FreeLogits",
    "nas.relaxations.Gumbel",
    "nas.schedules.Temperature",
    "nas.strategies.Bilevel",
    "nas.tasks.Classification",
    "search_spaces.darts.DartsSpace",
    "search_spaces.ops.sep_conv",
    "torch.optim.AdamW",
    "torch.optim.lr_scheduler.OneCycleLR",
    "torch.nn.Conv2d",
    "torch.nn.CrossEntropyLoss",
    "torch.nn.functional.relu",
    "torchvision.transforms.v2.ColorJitter",
    "torchvision.datasets.FakeData",
    "torchvision.models.resnet18",
    "torchvision.models.ResNet",
)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder with a package of parts, not yet on the path, and forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    write(tmp_path, PARTS.format(error="KeyError('lost')"))
    yield tmp_path
    for name in [n for n in sys.modules if n.split(".")[0] == "nas_test_lab"]:
        del sys.modules[name]


def write(folder: Path, text: str) -> None:
    (folder / "nas_test_lab").mkdir(exist_ok=True)
    (folder / "nas_test_lab" / "parts.py").write_text(text)


def node(target: str, **settings: Any) -> Any:
    return OmegaConf.create({"_target_": f"nas_test_lab.parts.{target}", **settings})


@pytest.mark.parametrize("target", DANGEROUS)
def test_nothing_is_named_that_does_more_than_a_part(target: str) -> None:
    with pytest.raises(ConfigError, match=r"if you trust it, add plugins=\[[\w.]+\] to the"):
        check_targets({"_target_": target})
    with pytest.raises(ConfigError):
        instantiate(OmegaConf.create({"_target_": target}))


@pytest.mark.parametrize("target", SHIPPED)
def test_the_parts_are(target: str) -> None:
    check_names({"_target_": target})
    assert loaded(target).__name__ == target.rpartition(".")[2]


@pytest.mark.parametrize(
    "settings",
    [
        {"inner": {"_target_": "os.system"}},
        {"list": [1, {"deep": [{"_target_": "os.system"}]}]},
        {"before": [{"_target_": "os.system", "_partial_": True}]},
        {"_args_": [{"_target_": "os.system"}]},
    ],
    ids=["dict", "list", "partial", "args"],
)
@pytest.mark.parametrize("check", [check_targets, check_names, instantiate])
def test_targets_are_found_however_deep(settings: dict[str, Any], check: Any) -> None:
    cfg = OmegaConf.create({"_target_": "nas.data.Augment", **settings})
    with pytest.raises(ConfigError, match=r"plugins=\[os\]"):
        check(cfg)


def test_a_target_by_interpolation_is_checked_as_what_it_becomes() -> None:
    cfg = OmegaConf.create({"evil": "os.system", "space": {"_target_": "${evil}"}})
    with pytest.raises(ConfigError, match=r"plugins=\[os\]"):
        instantiate(cfg.space)


def test_names_are_checked_without_importing(lab: Path) -> None:
    with pytest.raises(ConfigError, match=r"add plugins=\[nas_test_lab.parts\]"):
        check_names(node("Part"))
    with pytest.raises(ConfigError, match=r"add plugins=\[nas_test_lab.parts\]"):
        instantiate(node("Part"))
    assert "nas_test_lab" not in sys.modules


@pytest.mark.parametrize("named", ["nas_test_lab", "nas_test_lab.parts", "nas_test_lab.other"])
def test_a_package_is_allowed_as_a_whole(lab: Path, named: str) -> None:
    inner = {"_target_": "nas_test_lab.parts.Part", "size": 2}
    made = instantiate(node("Part", size=3, other=[inner]), [named])
    assert (made.size, made.other[0].size) == (3, 2)
    assert instantiate(node("Part.double", size=3), [named]).size == 6
    assert instantiate(node("function", size=3), [named]) == 4


@pytest.mark.parametrize(
    ("target", "module", "allowed"),
    [
        ("system", "posix", "nas_test_lab,posix"),
        ("load", "torch.serialization", "nas_test_lab,torch"),
        ("subprocess.run", "subprocess", "nas_test_lab,subprocess"),
    ],
)
def test_what_a_plugin_imported_is_not_part_of_it(
    lab: Path, target: str, module: str, allowed: str
) -> None:
    with pytest.raises(ConfigError, match=rf"of module '{module}'.*plugins=\[{allowed}\]"):
        instantiate(node(target), ["nas_test_lab"])


@pytest.mark.parametrize(
    ("text", "target", "sentence"),
    [
        ("class Part: ...", "nas_test_lab.parts.Pert", "did you mean 'Part'"),
        (
            "import nothing_of_that_name",
            "nas_test_lab.parts.Part",
            "ModuleNotFoundError: No module",
        ),
        ("def (", "nas_test_lab.parts.Part", "cannot be imported: SyntaxError"),
        ("1 / 0", "nas_test_lab.parts.Part", "cannot be imported: ZeroDivisionError"),
        ("", "nas_test_lab.other.Part", "names nothing that can be imported"),
        ("size = 3", "nas_test_lab.parts.size", "is no class or function"),
        ("", "parts", "names no module; write it as my_lab.space.MySpace"),
    ],
)
def test_what_does_not_load_is_told(lab: Path, text: str, target: str, sentence: str) -> None:
    write(lab, text)
    with pytest.raises(ConfigError, match=sentence):
        loaded(target, ["nas_test_lab.parts"])


def test_a_setting_that_the_class_lacks_is_told_with_the_nearest(lab: Path) -> None:
    with pytest.raises(ConfigError, match=r"Part has no setting 'sise'; did you mean 'size'"):
        factory(node("Part", sise=3), ["nas_test_lab"])
    with pytest.raises(ConfigError, match=r"has no setting 'x'; it has size, other"):
        factory(node("Part", x=3), ["nas_test_lab"])


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        ("KeyError('lost')", NasError, "raised KeyError: 'lost'; NAS_DEBUG=1 shows where"),
        ("ValueError('size must be even')", ConfigError, "these settings: size must be even$"),
    ],
)
def test_what_a_constructor_raises_is_one_sentence(
    lab: Path, error: str, kind: type[NasError], sentence: str
) -> None:
    write(lab, PARTS.format(error=error))
    with pytest.raises(kind, match=sentence):
        instantiate(node("Failing"), ["nas_test_lab"])
    with pytest.raises(ConfigError, match=error.split("(")[1].strip("')")):
        instantiate(
            node("Part", other={"_target_": "nas_test_lab.parts.Failing"}), ["nas_test_lab"]
        )


def test_a_factory_takes_the_rest(lab: Path) -> None:
    make = factory(node("Part", size=3), ["nas_test_lab"])
    assert make(other=4).other == 4
    partial = instantiate(node("Part", size=3, _partial_=True), ["nas_test_lab"])
    assert partial(other=5).other == 5


@pytest.mark.parametrize("settings", [{"space": {"width": 1}}, {"space": ["a"]}, {"space": {}}])
def test_settings_that_name_no_class_are_told_by_their_key(settings: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^space must name a class by _target_"):
        target_of(OmegaConf.create(settings).space)


class Contract(Protocol):
    """Two parts."""

    soft: bool

    def __call__(self) -> None:
        """Anything."""
        ...


def test_what_lacks_a_part_of_its_contract_is_refused() -> None:
    def whole() -> None: ...

    whole.soft = True  # type: ignore[attr-defined]
    assert conforming(whole, Contract, "a.whole") is whole
    with pytest.raises(ConfigError, match=r"a\.B is no Contract: it lacks soft, __call__; see"):
        conforming(object(), Contract, "a.B")


def test_a_class_that_is_left_to_the_user_is_asked_for_by_its_setting() -> None:
    settings = {"data": {"_target_": "nas.data.Wrapped", "dataset": {"_target_": "???"}}}
    with pytest.raises(ConfigError, match=r"^data\.dataset\._target_ is not set: name the class"):
        check_names(settings)
