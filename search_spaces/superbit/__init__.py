"""A fixed network, of which compression is all that is searched."""

from search_spaces.superbit.space import BackboneSpace

__all__ = ["BackboneSpace"]
