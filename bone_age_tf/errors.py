"""Errors that a user can cause, each with the exit code of the command line.

A message says what happened, what was expected, what was received and what to do.
Any other exception is a bug in this package (exit code 1).
"""


class BoneAgeError(Exception):
    """Base of every error that a user can cause."""

    exit_code = 1


class UsageError(BoneAgeError):
    """Options that contradict each other, or a setting that does not exist."""

    exit_code = 2


class ArgumentTypeError(UsageError, TypeError):
    """An argument of the Python API of another type or dtype than expected."""


class ArgumentValueError(UsageError, ValueError):
    """An argument of the Python API with a value or shape that cannot be used."""


class InputDataError(BoneAgeError):
    """Input data that cannot be used: labels, radiographs, or a prepared data set."""

    exit_code = 3


class ModelRefusedError(BoneAgeError):
    """A model that is incomplete, changed since it was written, or made for other data."""

    exit_code = 5


class EnvironmentFaultError(BoneAgeError):
    """A fault of the environment: disk full, no write permission, a folder locked by another process."""

    exit_code = 6


class NotStoredError(BoneAgeError):
    """Done, but an archive did not store all results; they are on disk."""

    exit_code = 7


class InterruptedBySignalError(BoneAgeError):
    """SIGINT or SIGTERM arrived; the work so far was saved."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
