"""The training loops of search and retraining, with exact resume."""
