"""Search spaces: each folder is one, and depends on ``nas`` only up to its supernet floor."""
