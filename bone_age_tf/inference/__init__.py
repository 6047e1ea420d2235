"""Exported models asked about radiographs."""
