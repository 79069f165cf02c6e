"""``nas bench build``: a table of architectures that were trained here."""

from nas.app.tabulate.run import build

__all__ = ["build"]
