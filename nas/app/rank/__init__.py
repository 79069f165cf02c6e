"""``nas rank``: a supernet's order of architectures beside that of training them alone."""

from nas.app.rank.run import rank

__all__ = ["rank"]
