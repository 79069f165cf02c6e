"""Inputs that are damaged, wrong or hostile: each is refused in one sentence, and nothing is left.

Every case is a line of ``nas`` typed in a folder that was made for it. It must end with a status
other than 0, one sentence that names the file or the setting, no traceback, and no new file.
"""

from __future__ import annotations

import io
import json
import lzma
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.cli import main
from nas.files import read_json
from nas.genotype import compute_id, dumps, load
from nas.store.folder import RunFolder, resolve

TINY = (
    "preset=smoke",
    "space.nodes=1",
    "trainer.epochs=1",
    "trainer.network_epochs=1",
    "trainer.random_networks=0",
    "logger.tensorboard=false",
    "execution=plain",  # no kernels to compile
)
Make = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """A line, what to make in its folder before, and what the sentence must name."""

    line: str
    named: str
    make: Make = lambda here: None


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny finished run, in its folder of runs; tests work on copies."""
    place = tmp_path_factory.mktemp("finished")
    line = ["search", *TINY, "stages=[search,derive,retrain,evaluate]", f"runs={place}/runs"]
    assert main(line) == 0
    return place


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NAS_NATIVE", "0")  # or each cache gets kernels of its own
    return tmp_path


def refused(case: Case, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Type the line of a case and hold it to what a refusal must be."""
    before = files(here)
    capsys.readouterr()
    status = main(case.line.split(" "))
    said = " ".join(capsys.readouterr().err.split())
    assert status in (1, 2), said
    assert said.count("error: ") == 1, said
    assert "Traceback" not in said
    assert "should not happen" not in said
    assert case.named in said
    assert len(said) < 420, said
    assert files(here) == before


def files(folder: Path) -> dict[str, int]:
    """Every file with its size; of the caches nothing, a run may leave what it decoded well."""
    found = (path for path in folder.rglob("*") if path.is_file())
    inside = (path.relative_to(folder) for path in found)
    kept = (path for path in inside if path.parts[0] != "cache" and path.name != ".lock")
    return {str(path): (folder / path).stat().st_size for path in sorted(kept)}


# Refused in the same place as others that stay fast, or tested by themselves beside what refuses.
SLOW = {
    *("unknown group", "infinite number", "no stage", "unknown device", "list for a value"),
    *("forbidden function of torch", "no value", "operation that is not there"),
    *("not text", "a list", "wrong type", "unknown key of a file", "NaN", "cut off"),
    *("a field too many", "a field too few", "another schema", "other arguments"),
    *("an unknown decision", "a missing decision", "empty folder", "a text called an image"),
    *("an image of another size", "an empty archive", "an archive that is none", "no arrays"),
    *("not a number", "labels that are no classes", "settings empty", "weights empty"),
    *("weights replaced", "empty", "flipped"),
}


def cases(table: Mapping[str, Any]) -> list[Any]:
    """The rows of a table as parameters by their names, those of `SLOW` marked."""
    return [
        pytest.param(
            *(row if isinstance(row, tuple) else [row]),
            id=name,
            marks=[pytest.mark.slow] * (name in SLOW),
        )
        for name, row in table.items()
    ]


# ---------------------------------------------------------------- settings

SETTINGS = {
    "unknown key": ("trainer.epoch=3", "'trainer.epoch'"),
    "unknown group": ("strateg=gdas", "'strateg'"),
    "unknown choice": ("strategy=gdass", "'gdass'; did you mean 'gdas'?"),
    "word for a number": ("trainer.epochs=many", "trainer.epochs=many"),
    "negative number": ("trainer.epochs=-1", "trainer.epochs"),
    "infinite number": ("budget.params=inf", "budget.params"),
    "number for a group": ("optim.weights=3", "optim.weights"),
    "list for a value": ("seed=[1,2]", "seed"),
    "open bracket": ("stages=[search", "stages=[search"),
    "no value": ("seed=", "seed"),
    "several values without -m": ("seed=1,2", "add -m"),
    "no stage": ("stages=[]", "stages"),
    "unknown stage": ("stages=[serch]", "'serch'"),
    "unknown device": ("device=cudo", "device"),
    "unknown limit": ("+budget.energy=3", "budget.energy"),
    "forbidden class": ("space._target_=os.system", "'os.system'"),
    "forbidden function of torch": ("optim.weights._target_=torch.hub.load", "'torch.hub.load'"),
    "class that is not there": (
        "space._target_=search_spaces.darts.DartSpace",
        "search_spaces.darts.DartSpace",
    ),
    "channels that do not divide": ("space.channels=6", "space.channels"),
    "operation that is not there": ("space.operations=[none,sep_conv_4x4]", "sep_conv_4x4"),
    "interpolation of nothing": ("seed=${nothing}", "nothing"),
    "setting without effect": ("budget.weight=2", "budget.weight"),
}


@pytest.mark.parametrize(("setting", "named"), cases(SETTINGS))
def test_a_setting(
    setting: str, named: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(Case(f"search {' '.join(TINY)} {setting}", named), here, capsys)


# ---------------------------------------------------------------- config files of a user's

CONFIGS = {
    "not YAML": (b"trainer: [1, 2\n", "mine.yaml"),
    "not text": (b"\xff\xfe\x00\x01", "mine.yaml"),
    "a list": (b"# @package _global_\n- 1\n- 2\n", "mine"),
    "unknown choice": (
        b"# @package _global_\ndefaults:\n  - override /strategy: gone\n",
        "'gone'",
    ),
    "wrong type": (b"# @package _global_\ntrainer: {epochs: many}\n", "trainer.epochs"),
    "unknown key of a file": (b"# @package _global_\ntrainer: {epoch: 3}\n", "epoch"),
    "a permission for itself": (b"# @package _global_\nplugins: [os]\n", "plugins"),
    "a forbidden class": (
        b"# @package _global_\ntask: {_target_: subprocess.run}\n",
        "'subprocess.run'",
    ),
}


@pytest.mark.parametrize(("content", "named"), cases(CONFIGS))
def test_a_config(
    content: bytes, named: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "conf" / "experiment").mkdir(parents=True)
    (here / "conf" / "experiment" / "mine.yaml").write_bytes(content)
    case = Case(f"search --config-dir=conf experiment=mine {' '.join(TINY[:1])}", named)
    refused(case, here, capsys)


# ---------------------------------------------------------------- genotype files


def edited(
    change: Callable[[dict[str, Any]], object], *, new_id: bool = True
) -> Callable[..., str]:
    """A genotype's text after ``change``, with the id that its content then has."""

    def make(path: Path) -> str:
        record = json.loads(path.read_text())
        change(record)
        text = json.dumps(record)
        if not new_id:
            return text
        path.write_text(text)
        expected = compute_id_of(record)
        return json.dumps({**record, "id": expected})

    return make


def compute_id_of(record: dict[str, Any]) -> str:
    from nas.genotype import make as made

    file = made(
        name=record["space"]["name"],
        fingerprint=record["space"]["fingerprint"],
        choices={k: tuple(v) if isinstance(v, list) else v for k, v in record["choices"].items()},
    )
    return compute_id(file)


def first(record: dict[str, Any]) -> str:
    return next(name for name in record["choices"] if not name.endswith("inputs"))


GENOTYPES: dict[str, tuple[Callable[[Path], str | bytes], str]] = {
    "empty": (lambda path: "", "cell.json"),
    "not text": (lambda path: b"\x80\x04\x95cposix", "cell.json"),
    "cut off": (lambda path: path.read_text()[:300], "cell.json"),
    "a list": (lambda path: "[1, 2]", "cell.json"),
    "NaN": (lambda path: path.read_text().replace("1,", "NaN,", 1), "cell.json"),
    "too deep": (lambda path: '{"schema": ' + "[" * 5000 + "]" * 5000 + "}", "cell.json"),
    "another schema": (edited(lambda r: r.update(schema="nas.genotype/9")), "'nas.genotype/9'"),
    "a field too many": (edited(lambda r: r.update(extra=1)), "'extra'"),
    "a field too few": (edited(lambda r: r.pop("choices"), new_id=False), "'choices'"),
    "edited by hand": (
        edited(lambda r: r["choices"].update({first(r): "skip_connect"}), new_id=False),
        "edited by hand",
    ),
    "an unknown operation": (
        edited(lambda r: r["choices"].update({first(r): "conv_9x9"})),
        "conv_9x9",
    ),
    "an unknown decision": (
        edited(lambda r: r["choices"].update({"normal/9": "none"})),
        "normal/9",
    ),
    "a missing decision": (edited(lambda r: r["choices"].pop(first(r))), "lacks 1 decision"),
    "another space": (edited(lambda r: r["space"].update(name="other")), "'other'"),
    "other arguments": (edited(lambda r: r["space"].update(fingerprint="0" * 12)), "000000000000"),
    "a name twice": (
        lambda path: path.read_text().replace('"schema"', '"id": "x",\n  "schema"', 1),
        "twice",
    ),
}


@pytest.mark.parametrize(("make", "named"), cases(GENOTYPES))
def test_a_genotype(
    make: Callable[[Path], str | bytes],
    named: str,
    here: Path,
    finished: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = here / "cell.json"
    shutil.copy(resolve("latest", finished / "runs").genotype, file)
    content = make(file)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(Case(f"retrain cell.json {' '.join(TINY[:2])}", named), here, capsys)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("retrain gone.json", "gone.json"),
        ("retrain PC_DARTS_cifer", "PC_DARTS_cifar"),
        ("retrain latest", "latest"),
        ("convert Genotype(normal=[('sep_conv_3x3',0)])", "genotype text"),
        ("convert Genotype(normal=__import__('os').system('id'))", "enotype"),
        ("convert |nor_conv_3x3~0|+|nor_conv_3x3~0|", "~"),
        ("show gone", "'gone'"),
        ("diff gone lost", "'gone'"),
    ],
)
def test_a_name_or_a_text(
    line: str, named: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(Case(line, named), here, capsys)


# ---------------------------------------------------------------- data


def picture(size: int = 8, value: int = 90) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def tree(root: Path, classes: int = 2, each: int = 30) -> Path:
    for k in range(classes):
        (root / f"class{k}").mkdir(parents=True)
        for i in range(each):
            (root / f"class{k}" / f"{i:03d}.png").write_bytes(picture(value=40 * k + i))
    return root


def tree_with(path: str, content: bytes) -> Make:
    def make(here: Path) -> None:
        tree(here / "pets")
        (here / "pets" / path).parent.mkdir(exist_ok=True)
        (here / "pets" / path).write_bytes(content)

    return make


def archive(members: dict[str, bytes], cut: int = 0) -> Make:
    def make(here: Path) -> None:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        packed = lzma.compress(stream.getvalue())
        (here / "pets.tar.xz").write_bytes(packed[: len(packed) - cut])

    return make


def arrays(**named: Any) -> Make:
    return lambda here: np.savez(here / "x.npz", **named)


X, Y = np.zeros((60, 8, 8), np.uint8), np.arange(60) % 2
FOLDER, PACKED, NPZ = "data=folder data.root=pets", "data=folder data.root=pets.tar.xz", "data=npz"
DATA = {
    "no folder": Case(FOLDER, "pets"),
    "empty folder": Case(FOLDER, "pets", lambda here: (here / "pets").mkdir()),
    "one class": Case(FOLDER, "class0", lambda here: tree(here / "pets", classes=1) and None),
    "a class without an image": Case(FOLDER, "empty", tree_with("empty/note.txt", b"nothing")),
    "an image cut off": Case(FOLDER, "bad.png", tree_with("class1/bad.png", picture()[:45])),
    "a text called an image": Case(FOLDER, "bad.jpg", tree_with("class1/bad.jpg", b"hello")),
    "an image of another size": Case(FOLDER, "big.png", tree_with("class1/big.png", picture(16))),
    "an archive cut off": Case(
        PACKED, "pets.tar.xz", archive({f"a/{i}.png": picture(8, i) for i in range(9)}, cut=40)
    ),
    "an empty archive": Case(PACKED, "pets.tar.xz", archive({})),
    "an archive that is none": Case(
        PACKED, "pets.tar.xz", lambda here: (here / "pets.tar.xz").write_bytes(b"no") and None
    ),
    "a member outside": Case(PACKED, "pets.tar.xz", archive({"../../a/1.png": picture()})),
    "no arrays": Case(f"{NPZ} data.file=x.npz", "x.npz"),
    "arrays cut off": Case(
        f"{NPZ} data.file=x.npz",
        "x.npz",
        lambda here: (here / "x.npz").write_bytes(b"PK\x03\x04broken") and None,
    ),
    "no labels": Case(f"{NPZ} data.file=x.npz", "x.npz", arrays(x_train=X)),
    "objects": Case(f"{NPZ} data.file=x.npz", "x.npz", arrays(x=X, y=np.array([{}] * 60))),
    "other lengths": Case(f"{NPZ} data.file=x.npz", "x.npz", arrays(x=X, y=Y[:50])),
    "labels that are no classes": Case(f"{NPZ} data.file=x.npz", "x.npz", arrays(x=X, y=Y - 5)),
    "not a number": Case(
        f"{NPZ} data.file=x.npz",
        "x.npz",
        arrays(x=np.full((60, 8, 8), np.nan, np.float32), y=Y),
    ),
    "no CIFAR-10": Case("data=cifar10 data.root=pets", "pets", lambda here: None),
}


@pytest.mark.parametrize("case", cases(DATA))
def test_data(case: Case, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case.make(here)
    line = f"search preset=smoke {case.line} stages=[search,derive]"
    refused(Case(line, case.named), here, capsys)


# ---------------------------------------------------------------- runs and checkpoints


@pytest.fixture
def copy(finished: Path, here: Path) -> RunFolder:
    """A copy of the finished run, as the only one below ``runs``."""
    source = resolve("latest", finished / "runs")
    target = here / "runs" / source.path.parent.name / source.name
    shutil.copytree(source.path, target)
    return RunFolder(target)


def damaged(path: Path, how: str) -> None:
    content = path.read_bytes()
    changed = {
        "cut": content[: len(content) // 2],
        "empty": b"",
        "flipped": content[:-9] + bytes([content[-9] ^ 255]) + content[-8:],
        "junk": b"\x80\x04\x95cposix\nsystem\n.",
    }
    path.write_bytes(changed[how])


RUNS = {
    "settings cut": ("config.yaml", "junk", "evaluate {run}", "config.yaml"),
    "settings empty": ("config.yaml", "empty", "evaluate {run}", "config.yaml"),
    "genotype cut": ("genotype.json", "cut", "retrain {run}", "genotype.json"),
    "splits cut": ("splits.json", "cut", "evaluate {run}", "splits.json"),
    "weights cut": ("retrain/found/weights.safetensors", "cut", "evaluate {run}", "weights"),
    "weights empty": ("retrain/found/weights.safetensors", "empty", "evaluate {run}", "weights"),
    "weights replaced": ("retrain/found/weights.safetensors", "junk", "evaluate {run}", "weights"),
    "result of training cut": (
        "retrain/found/genotype.json",
        "cut",
        "export {run}",
        "genotype.json",
    ),
}


@pytest.mark.parametrize(("file", "how", "line", "named"), cases(RUNS))
def test_a_run(
    file: str,
    how: str,
    line: str,
    named: str,
    copy: RunFolder,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damaged(copy.path / file, how)
    refused(Case(line.format(run=copy.name), named), here, capsys)


@pytest.mark.parametrize("how", cases({how: how for how in ("cut", "empty", "flipped", "junk")}))
@pytest.mark.parametrize("verb", ["derive {run}", "evaluate {run} weights=supernet"])
def test_a_checkpoint(
    how: str, verb: str, copy: RunFolder, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = sorted(copy.checkpoints("search").glob("*.ckpt"))
    assert stored
    for path in stored:
        damaged(path, how)
    refused(Case(verb.format(run=copy.name), "checkpoint"), here, capsys)


def test_weights_of_another_network(
    copy: RunFolder, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = copy.config.read_text()
    assert "network_channels: 4" in text
    copy.config.write_text(text.replace("network_channels: 4", "network_channels: 8"))
    refused(Case(f"evaluate {copy.name}", "weights.safetensors"), here, capsys)


def test_a_genotype_round_trip_is_not_refused(finished: Path) -> None:
    """The helper that recomputes ids is right, or half of the cases above would show nothing."""
    path = resolve("latest", finished / "runs").genotype
    assert compute_id_of(read_json(path)) == load(path).id
    assert dumps(load(path)) == path.read_text()
