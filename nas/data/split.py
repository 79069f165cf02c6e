"""Stratified splits, and their record in a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum
from typing import Any

import torch
from torch import Tensor

from nas.data.base import ArrayData
from nas.engine.rng import derive_seed
from nas.errors import NasError

SCHEMA = "nas.splits/1"


def stratified_split(
    targets: Tensor, sizes: Mapping[str, int | float], seed: int
) -> dict[str, Tensor]:
    """Split all samples into disjoint parts of exact sizes with the class shares of the whole.

    Every part holds of every class its exact share rounded up or down. That takes rounding in rows
    and columns at once (controlled rounding, Cox 1987): the largest remainder method applied part
    by part can drift away from the exact share by more than one.

    Args:
        targets: ``(N,)`` integers; all alike where there are no classes to balance.
        sizes: per part a whole number of samples, or a share (float in (0, 1]) of the samples that
            the whole numbers leave; together they cover everything.
        seed: the same seed gives the same parts, whatever was drawn before.

    Returns:
        Per part its indices in increasing order, int64.

    Raises:
        NasError: if sizes do not cover the samples, exceed them or leave a part empty, or a class
            has fewer members than there are parts.
    """
    if targets.dim() != 1 or targets.is_floating_point():
        raise NasError(
            f"a stratified split needs one integer per sample, got {targets.dtype} of shape "
            f"{tuple(targets.shape)}; give all zeros for data without classes"
        )
    parts = _whole_sizes(sizes, len(targets))
    classes, counts = torch.unique(targets, return_counts=True)
    for label, count in zip(classes.tolist(), counts.tolist(), strict=True):
        if count < len(parts):
            raise NasError(
                f"class {label} has {count} samples, too few for the {len(parts)} parts "
                f"{', '.join(parts)}; add samples, leave the class out or drop a part"
            )
    return dict(zip(parts, _drawn(targets, list(parts.values()), seed), strict=True))


def stratified_cut(targets: Tensor, size: int, seed: int) -> Tensor:
    """Indices of ``size`` samples with the class shares of the whole, in increasing order.

    Of every class its exact share rounded up or down, which may be none. ``targets`` and ``seed``
    as in `stratified_split`; all samples if there are no more than ``size``.
    """
    return _drawn(targets, [min(size, len(targets)), max(0, len(targets) - size)], seed)[0]


def _drawn(targets: Tensor, sizes: Sequence[int], seed: int) -> list[Tensor]:
    """Disjoint parts of these sizes, which sum to the number of samples."""
    classes, counts = torch.unique(targets, return_counts=True)
    generator = torch.Generator().manual_seed(derive_seed(seed, "split"))
    # in an order by chance, or the same classes would be rounded up under every seed
    chance = torch.randperm(len(classes), generator=generator)
    classes, counts = classes.cpu()[chance], counts.cpu()[chance]
    table = _controlled_rounding(sizes, counts.tolist())
    found: list[list[Tensor]] = [[] for _ in sizes]
    for column, label in enumerate(classes.tolist()):
        members = (targets == label).nonzero()[:, 0].cpu()
        members = members[torch.randperm(len(members), generator=generator)]
        pieces = torch.split(members, [row[column] for row in table])
        for part, piece in zip(found, pieces, strict=True):
            part.append(piece)
    return [torch.cat(pieces).sort().values for pieces in found]


def split_record(data: ArrayData) -> dict[str, Any]:
    """A JSON-able record of the splits: indices, counts, counts per class, seed, fingerprint."""
    return {
        "schema": SCHEMA,
        "data": data.name,
        "fingerprint": data.fingerprint,
        "seed": data.split_seed,
        "counts": data.counts(),
        "per_class": _per_class(data),
        "indices": {split: indices.tolist() for split, indices in data.splits.items()},
    }


def check_record(data: ArrayData, record: Mapping[str, Any]) -> None:
    """Raise NasError, naming the difference, unless ``data`` has the splits of a saved record."""
    remedy = "use the data settings of that run, or start a new run"
    if record.get("schema") != SCHEMA or not isinstance(record.get("indices"), Mapping):
        raise NasError(
            f"the saved splits have the schema {record.get('schema')!r}, not {SCHEMA!r}; "
            "restore the file from a copy, or start a new run"
        )
    if record.get("fingerprint") != data.fingerprint:
        raise NasError(
            f"the saved splits belong to data {record.get('data')!r} with the fingerprint "
            f"{str(record.get('fingerprint'))[:12]}, but {data.name!r} now has "
            f"{data.fingerprint[:12]}; {remedy}"
        )
    saved = record["indices"]
    for split, indices in data.splits.items():  # data handed to search has no test split: no error
        if split not in saved or saved[split] != indices.tolist():
            raise NasError(
                f"split {split!r} of data {data.name!r} is not the one saved in this run "
                f"({len(saved.get(split, ()))} samples there, {len(indices)} here); {remedy}"
            )


def _per_class(data: ArrayData) -> dict[str, list[int]]:
    if data.spec.kind != "classes" or not isinstance(data.targets, Tensor):
        return {}
    return {
        split: torch.bincount(data.targets[indices], minlength=data.spec.outputs).tolist()
        for split, indices in data.splits.items()
    }


def _whole_sizes(sizes: Mapping[str, int | float], n: int) -> dict[str, int]:
    for part, size in sizes.items():
        if not _allowed(size):
            raise NasError(
                f"part {part!r} has the size {size!r}; give a whole number of at least 1, or a "
                "share between 0 and 1 of what the whole numbers leave"
            )
    whole = {part: size for part, size in sizes.items() if isinstance(size, int)}
    shares = {part: size for part, size in sizes.items() if isinstance(size, float)}
    left = n - sum(whole.values())
    listed = ", ".join(f"{part} {size}" for part, size in sizes.items()) or "none"
    if left < len(shares):
        raise NasError(
            f"the sizes ({listed}) exceed the {n} samples: {max(left, 0)} are left for "
            f"{len(shares)} shares; lower the whole numbers by at least {len(shares) - left}"
        )
    if left > 0 and not shares:
        raise NasError(
            f"the sizes ({listed}) leave {left} of the {n} samples over; raise one of them by "
            f"{left}, or give one part as a share (1.0 takes all the rest)"
        )
    if shares and abs(fsum(shares.values()) - 1) > 1e-9:
        raise NasError(
            f"the shares ({listed}) sum to {fsum(shares.values()):g} and must sum to 1; "
            "they divide what the whole numbers leave"
        )
    filled = whole | _largest_remainder(shares, left)
    for part, size in filled.items():
        if size == 0:
            raise NasError(
                f"part {part!r} would be empty, its share of {left} samples is below one; "
                "give it a larger share or a whole number"
            )
    return {part: filled[part] for part in sizes}


def _allowed(size: object) -> bool:
    if isinstance(size, float):
        return 0 < size <= 1
    return isinstance(size, int) and not isinstance(size, bool) and size >= 1


def _largest_remainder(shares: Mapping[str, float], total: int) -> dict[str, int]:
    # rounding the exact share first keeps 0.1 * 30 from counting as 3.0000000000000004
    exact = {part: round(share * total, 6) for part, share in shares.items()}
    sizes = {part: int(value) for part, value in exact.items()}
    order = sorted(exact, key=lambda part: sizes[part] - exact[part])
    for part in order[: total - sum(sizes.values())]:
        sizes[part] += 1
    return sizes


def _controlled_rounding(rows: Sequence[int], columns: Sequence[int]) -> list[list[int]]:
    """Integers next to ``row * column / total`` with exactly these sums of rows and columns.

    All in units of 1 / total, hence exact. A row or column with one fractional cell has another
    one, since its sum is whole: so fractional cells form cycles, along which a unit can be moved
    back and forth until a cell becomes whole.
    """
    total = sum(rows)
    cells = [[row * column for column in columns] for row in rows]
    open_rows = [
        {k: None for k in range(len(columns)) if cells[r][k] % total} for r in range(len(rows))
    ]
    open_columns = [
        {r: None for r in range(len(rows)) if cells[r][k] % total} for k in range(len(columns))
    ]
    for start in range(len(rows)):
        while open_rows[start]:
            cycle = _cycle(open_rows, open_columns, start)
            _settle(cells, cycle, total)
            for r, k in cycle:
                if cells[r][k] % total == 0:
                    del open_rows[r][k], open_columns[k][r]
    return [[cell // total for cell in row] for row in cells]


def _cycle(
    open_rows: Sequence[Mapping[int, None]], open_columns: Sequence[Mapping[int, None]], start: int
) -> list[tuple[int, int]]:
    """Cells of a simple cycle: steps along a row and along a column take turns."""
    walk: list[tuple[int, int]] = []
    seen_rows: dict[int, int] = {}
    seen_columns: dict[int, int] = {}
    row, column = start, -1
    while True:
        if row in seen_rows:
            return walk[seen_rows[row] :]
        seen_rows[row] = len(walk)
        column = next(k for k in open_rows[row] if k != column)
        walk.append((row, column))
        if column in seen_columns:
            return walk[seen_columns[column] :]
        seen_columns[column] = len(walk)
        row = next(r for r in open_columns[column] if r != row)
        walk.append((row, column))


def _settle(cells: list[list[int]], cycle: Sequence[tuple[int, int]], total: int) -> None:
    """Make at least one cell of the cycle whole, by the smaller of the two possible moves."""
    ups, downs = cycle[::2], cycle[1::2]
    forward = min(
        [total - cells[r][k] % total for r, k in ups] + [cells[r][k] % total for r, k in downs]
    )
    backward = min(
        [cells[r][k] % total for r, k in ups] + [total - cells[r][k] % total for r, k in downs]
    )
    step = forward if forward <= backward else -backward
    for r, k in ups:
        cells[r][k] += step
    for r, k in downs:
        cells[r][k] -= step
