"""Predictions beside labels, and their errors."""
