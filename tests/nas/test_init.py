from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import nas


@pytest.mark.parametrize("name", sorted(set(nas.__all__) - {"__version__"}))
def test_every_public_name_is_found_where_it_lives(name: str) -> None:
    assert getattr(nas, name) is getattr(import_module(nas._HOME[name]), name)
    assert name in dir(nas)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'nas' has no attribute 'nope'"):
        _ = nas.nope


def test_importing_nas_imports_next_to_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import nas; dir(nas);"
        "print([m for m in ('torch', 'numpy', 'hydra', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
