"""Inference with exported models: predictions, localization, explanations."""
