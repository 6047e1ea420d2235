"""A package, so that its `conftest.py` is not that of all tests."""
