"""A run as one SavedModel, and what goes with it."""
