"""A class of the user's own in the place of a shipped one: ``space._target_=my_lab.space.Mine``."""

from __future__ import annotations

from collections.abc import Sequence

GROUP = "space"


def replace_group(settings: Sequence[str]) -> list[str]:
    """Return the settings with the whole group removed where its class is replaced.

    What the group's file sets belongs to the shipped class; the user's own settings of the group
    are added to nothing instead of being compared with it. Where the line chooses a file of the
    group as well, that file is kept.
    """
    removed = f"~{GROUP}" in settings  # by the line of a saved run
    chosen = any(text.lstrip("+").startswith(f"{GROUP}=") for text in settings)
    named = any(text.lstrip("+").startswith(f"{GROUP}._target_=") for text in settings)
    if not named or chosen:
        return list(settings)
    own = [f"++{text}" if text.startswith(f"{GROUP}.") else text for text in settings]
    return own if removed else [f"~{GROUP}", *own]
