"""SavedModels by TensorFlow's C API: loaded and run without TensorFlow's Python package, which takes seconds to import."""
