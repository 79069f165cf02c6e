"""Pictures, words and reports about what a run found."""
