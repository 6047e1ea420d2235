"""Serving: deployment files for TensorFlow Serving, and a local server with the same API."""
