"""Errors of models, their comparison and their robustness."""
