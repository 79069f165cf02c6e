"""What goes wrong with tables and questions to them."""

from nas.errors import ConfigError, NasError


class TableError(NasError):
    """A table's file that is missing, damaged, altered or of another form."""


class QueryError(ConfigError):
    """A question that a table cannot answer, or not in one way only."""
