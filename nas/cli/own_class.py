"""A class of the user's own in the place of a shipped one: ``space._target_=my_lab.space.Mine``.

What a config file says beside a ``_target_`` are the settings of that class. So where the line
names another class, they are dropped, and those on the line are the new class's settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_NAMED = re.compile(r"\+*([\w.]+)\._target_=")


def named_nodes(settings: Sequence[str]) -> list[str]:
    """The nodes whose class the settings name, such as ``space`` and ``strategy.update``."""
    found = [match[1] for text in settings if (match := _NAMED.match(text))]
    return [node for node in dict.fromkeys(found) if not node.startswith("hydra.")]


def replace_classes(
    settings: Sequence[str], partial: Callable[[str], bool] = lambda node: False
) -> list[str]:
    """Return the settings with the nodes removed whose class is replaced.

    Where the line also chooses the file of the group itself (``space=darts space._target_=...``),
    that file's settings are kept. A limit for a cost that the line adds is added with it, and
    ``data.augment`` beside a data class of the line's own is the shipped augmentation.
    ``partial`` tells whether a node of the files is one that is called later.
    """
    nodes = named_nodes(settings)
    removed = {text[1:].partition("=")[0] for text in settings if text[0] == "~"}  # by a saved run
    kept = {node for node in nodes if _chosen(node, settings)}
    removals: list[str] = []
    for node in sorted(nodes):
        if node in kept or removed & {node, *_above(node)}:
            continue
        removed.add(node)
        # Hydra removes no node that is null or absent, so it is made one that is neither.
        removals += [f"~{node}"] if "." not in node else [f"++{node}={{}}", f"~{node}"]
        if node == "data" and any(text.startswith("data.augment.") for text in settings):
            removals.append("++data.augment._target_=nas.data.Augment")
        if "." in node and partial(node):
            removals.append(f"++{node}._partial_=true")
    limits = {f"budget.{node[5:]}" for node in nodes if node.startswith("cost.")}
    return [*removals, *(_added(text, nodes, limits) for text in settings)]


def _chosen(node: str, settings: Sequence[str]) -> bool:
    return any(text.lstrip("+").startswith(f"{node}=") for text in settings)


def _above(node: str) -> list[str]:
    parts = node.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _added(text: str, nodes: Sequence[str], limits: set[str]) -> str:
    """The setting as one that Hydra adds, if it belongs to a named class."""
    key = text.lstrip("+").partition("=")[0]
    below = any(key.startswith(f"{node}.") for node in nodes)
    return f"++{text.lstrip('+')}" if (below or key in limits) and text[0] != "~" else text
