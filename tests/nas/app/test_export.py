"""What the stage says of a file in integers."""

from pathlib import Path

import pytest

from nas.app.stages.export import _say
from nas.export.base import ExportRecord

FACTS = {"layers": 4, "computed": 3, "fp32_bytes": 4000, "outputs_off": 1e-7, "unmet": []}


def test_a_file_in_integers_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    _say(ExportRecord("onnx", Path("model.onnx"), 1000, 2e-6, "written", FACTS))
    expected = "onnx in integers: 1 kB, in fp32 4 kB; 3 of 4 layers computed in integers; largest"
    out, err = capsys.readouterr()
    assert " ".join(out.split()).startswith(expected)
    assert err == ""


def test_what_is_not_as_it_should_be_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {**FACTS, "unmet": ["3 of 4 operators QLinearConv in ONNX Runtime"]}
    _say(ExportRecord("onnx", Path("model.onnx"), 1000, 2e-6, "written", facts))
    _, err = capsys.readouterr()
    assert err.startswith("warning: export onnx: 3 of 4 operators QLinearConv in ONNX Runtime")


def test_other_files_are_not_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    _say(ExportRecord("onnx", Path("model.onnx"), 1000, 2e-6, "written"))
    assert capsys.readouterr() == ("", "")
