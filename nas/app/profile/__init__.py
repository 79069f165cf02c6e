"""``nas profile``: times of a space's operations and networks, as a table for the latency cost."""

from nas.app.profile.run import profile

__all__ = ["profile"]
