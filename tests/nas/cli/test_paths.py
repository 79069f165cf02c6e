from __future__ import annotations

from pathlib import Path

import pytest

import nas
from nas.cli.paths import config_dir
from nas.errors import NasError


def test_the_configs_lie_beside_the_package_or_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "nas"
    package.mkdir()
    monkeypatch.setattr(nas, "__file__", str(package / "__init__.py"))
    with pytest.raises(NasError, match="install the package again"):
        config_dir()
    (tmp_path / "configs").mkdir()
    assert config_dir() == tmp_path / "configs"
    (package / "configs").mkdir()
    assert config_dir() == package / "configs"
    assert config_dir().is_absolute()
