"""Whether a table has figures that a search may see at all."""

from __future__ import annotations

from nas.benchmarks import Table
from nas.benchmarks.errors import QueryError


def check_searchable(table: Table, metric: str) -> None:
    """Raise QueryError where all figures of a metric are of the test split."""
    splits = {column.split for column in table.columns if column.metric == metric}
    if splits and all(split.startswith("test") for split in splits):
        raise QueryError(
            f"table {table.name} has {metric} of the test split only, which no search may see; "
            "look architectures up with nas bench query, or search another table (nas bench list)"
        )
