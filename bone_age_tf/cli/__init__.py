"""The command line: `main` is the entry, every command has a module of its name."""

SOME_REJECTED = 4
"""Exit code of a command that finished, with some radiographs or rows rejected."""
