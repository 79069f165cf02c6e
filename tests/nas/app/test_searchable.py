from __future__ import annotations

from dataclasses import replace

import pytest

from nas.app.bench.searchable import check_searchable
from nas.benchmarks.errors import QueryError
from tests.nas.benchmarks.made import table


def test_a_table_of_test_figures_is_not_searched() -> None:
    made = table()
    check_searchable(made, "accuracy")
    kept = [i for i, column in enumerate(made.columns) if column.split in ("test", "")]
    columns = tuple(made.columns[i] for i in kept)
    part = replace(made, columns=columns, values=made.values[kept])
    check_searchable(part, "parameters")
    with pytest.raises(QueryError, match="of the test split only, which no search may see; look"):
        check_searchable(part, "accuracy")
