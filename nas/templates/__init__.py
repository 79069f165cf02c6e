"""What ``nas new`` writes: a space and a strategy that run as they are, to be changed."""
