"""Training: one loop, its strategy, its checkpoints and its callbacks."""
