"""Predictions with labels, and the metrics computed from them."""
