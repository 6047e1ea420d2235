"""TensorFlow Serving's kit, and a server of the same contract for a laptop."""
