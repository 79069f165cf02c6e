"""Small data on the disk, in the layouts that people have, and a cache of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from nas.data import cache
from tests.nas.data.made import MakeTree, encoded, pixels


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what is cached in the test's own folder, with nothing warned of yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("NAS_CACHE_DIR", str(folder))
    cache._say_damaged.cache_clear()
    cache._say_unwritten.cache_clear()
    return folder


@pytest.fixture
def make_tree(tmp_path: Path) -> MakeTree:
    """Return a function that writes ``counts[folder]`` PNG files into each folder of a new tree."""

    def make(counts: Mapping[str, int], name: str = "tree", side: int = 8) -> Path:
        root = tmp_path / name
        index = 0
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                file = root / folder / f"{number:03}.png"
                file.write_bytes(encoded(pixels(index, side)))
                index += 1
        return root

    return make


@pytest.fixture
def two_classes(make_tree: MakeTree) -> Path:
    """A tree of 20 cats and 20 dogs of 8x8."""
    return make_tree({"cats": 20, "dogs": 20})
