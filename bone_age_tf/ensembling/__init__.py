"""Several runs as one model."""
