"""Ensembles: several runs combined into one model."""
