"""``nas bench run``: search methods on a table, from settings to files and a closing table."""

from nas.app.bench.run import bench

__all__ = ["bench"]
