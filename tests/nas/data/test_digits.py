import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits

import nas.data.digits as module
from nas.data import Digits
from nas.data.base import scaled
from nas.errors import NasError


def test_they_are_scikit_learns_digits() -> None:
    data = Digits().load()
    images, targets = load_digits(return_X_y=True)
    levels = (scaled(data.inputs) * 16).round().flatten(1)
    assert torch.equal(levels.double(), torch.from_numpy(images))
    assert torch.equal(data.targets, torch.from_numpy(targets))
    assert data.inputs.dtype == torch.uint8
    assert int(data.inputs.max()) == 255
    assert data.spec.input_shape == (1, 8, 8)
    assert data.spec.outputs == 10


def test_default_splits_are_540_127_565_565_and_stratified() -> None:
    data = Digits().load()
    assert data.counts() == {"weights": 565, "architecture": 565, "validation": 127, "test": 540}
    whole = torch.bincount(data.targets)
    for indices in data.splits.values():
        share = whole * len(indices) / 1797
        assert float((torch.bincount(data.targets[indices]) - share).abs().max()) < 1


def test_mean_and_std_see_the_training_part_alone() -> None:
    data = Digits(split_seed=3).load()
    training = torch.cat([data.indices("weights"), data.indices("architecture")])
    values = scaled(data.inputs[training]).double()
    assert data.spec.mean == pytest.approx([values.mean().item()], abs=1e-6)
    assert data.spec.std == pytest.approx([values.std(correction=0).item()], abs=1e-6)


def test_splits_depend_on_the_split_seed_alone() -> None:
    torch.manual_seed(1)
    one = Digits().load()
    torch.manual_seed(2)
    same, other = Digits().load(), Digits(split_seed=1).load()
    assert all(torch.equal(one.splits[s], same.splits[s]) for s in one.splits)
    assert not torch.equal(one.splits["test"], other.splits["test"])


def test_the_fingerprint_covers_file_and_arguments() -> None:
    prints = {
        Digits().fingerprint(),
        Digits(test=539).fingerprint(),
        Digits(validation=128).fingerprint(),
        Digits(architecture=0.25).fingerprint(),
        Digits(split_seed=1).fingerprint(),
    }
    assert len(prints) == 5
    assert Digits().load().fingerprint == Digits().fingerprint()


def test_the_fingerprint_needs_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys; from nas.data import Digits; Digits().fingerprint();"
        "sys.exit(str({'torch', 'sklearn', 'numpy'} & set(sys.modules) or ''))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert result.stderr.strip() == b""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test": 0}, r"digits: test must be a whole number .*got 0; set data\.test"),
        ({"test": 1.5}, "test must be .*or a share between 0 and 1, got 1.5"),
        ({"validation": 1797}, "leave 0 for weights and 0 for architecture .*change data.val"),
        (
            {"test": 1700, "validation": 90},
            "leave 3 for weights and 4 .* at least 10, one",
        ),
        ({"architecture": 1}, "1129 for weights and 1 for architecture of 1797 samples but each"),
        ({"architecture": 1.0}, r"architecture must be .*got 1.0; set data\.architecture"),
        ({"split_seed": "a"}, r"split_seed must be a whole number, got 'a'; set data\.split_seed"),
    ],
)
def test_wrong_arguments_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        Digits(**settings)


def test_missing_scikit_learn_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(NasError, match="scikit-learn, which is not installed; install it"):
        Digits().fingerprint()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        gzip.compress(b"1,2\n3,4", mtime=0),
        gzip.compress(b"a,b", mtime=0),
        b"\x1f\x8b",
    ],
    ids=["empty", "text", "short", "words", "cut"],
)
def test_a_damaged_file_is_named(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(content)
    monkeypatch.setattr(module, "_stored_file", lambda: path)
    with pytest.raises(NasError, match=r"digits\.csv\.gz does not hold the digits .*install"):
        Digits().load()


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_stored_file", lambda: tmp_path / "digits.csv.gz")
    with pytest.raises(NasError, match=r"digits\.csv\.gz"):
        Digits().fingerprint()
