"""Readers of published tables, each a function from the user's data directory to a `Table`."""
