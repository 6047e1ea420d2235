"""The command line: its commands, its exit codes and the text of its errors.

Only the modules of this package know flags. Each command turns its arguments into a configuration
and calls one function. Results go to stdout, progress and messages to stderr. A command's module is
imported when it is asked for, TensorFlow when it runs, so that `--help` answers at once.
"""

import errno
import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence

import click

from bone_age_tf import __version__
from bone_age_tf.config import RESEARCH_ONLY
from bone_age_tf.errors import BoneAgeError, EnvironmentFaultError

PROGRAM = "bone-age-tf"
COMMANDS = (
    "demo",
    "phantom",
    "download",
    "prepare",
    "train",
    "ensemble",
    "evaluate",
    "compare",
    "stress",
    "report",
    "export",
    "calibrate",
    "predict",
    "growth",
    "explain",
    "localize",
    "serve",
    "dicom-node",
    "mercure",
)
"""Names of the commands, in the order in which `--help` lists them."""

_ENVIRONMENT_ERRNOS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
)
_FULL_DISK = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)))
_ABOUT_THE_GRAPH = re.compile(r"\{\{.*?\}\} | \[Op:\w+\]")  # in the text of TensorFlow's errors
_INTERRUPTED = 130


def load_command(name: str) -> click.Command:
    """The command `name`, one of `COMMANDS`: the function of that name in the module of that name, `_` for `-`."""
    name = name.replace("-", "_")
    return getattr(importlib.import_module(f"bone_age_tf.cli.{name}"), name)


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is requested."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None where there is none."""
        return load_command(cmd_name) if cmd_name in COMMANDS else None


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=RESEARCH_ONLY,
)
@click.version_option(__version__, prog_name=PROGRAM)
def commands() -> None:
    """Bone age from a radiograph of the left hand.

    Workflow: prepare, train, evaluate, export, predict. Without data: demo. Several runs as one
    model: ensemble. Recalibration for a new site: calibrate.
    """


def main() -> None:
    """Run the command line on `sys.argv` and exit with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run `bone-age-tf ARGUMENTS` in this process; returns the exit code and raises nothing.

    An error is printed to stderr as one message.
    """
    try:
        return commands.main(list(arguments), prog_name=PROGRAM, standalone_mode=False) or 0
    except click.exceptions.Abort:
        return _fail("Interrupted.", _INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except KeyboardInterrupt:
        return _fail(
            "Interrupted. Run the same command again: prepare and train resume where they stopped.",
            _INTERRUPTED,
        )
    except Exception as error:  # every error ends as one message and an exit code
        if "--debug" in arguments:
            traceback.print_exc()
        return _explain(error)


def _explain(error: Exception) -> int:
    if isinstance(error, BoneAgeError):
        return _fail(str(error), error.exit_code)
    if isinstance(error, OSError) and error.errno in _ENVIRONMENT_ERRNOS:
        where = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror}{where}", EnvironmentFaultError.exit_code)
    if any(
        text in str(error) for text in _FULL_DISK
    ):  # TensorFlow's errors and HDF5's have no number
        text = _ABOUT_THE_GRAPH.sub("", str(error).partition("\n")[0])
        return _fail(
            f"{text}\nFree some space, then run the same command again.",
            EnvironmentFaultError.exit_code,
        )
    kind = type(error).__name__
    return _fail(
        f"Internal error, a bug in bone-age-tf: {kind}: {error}\n"
        "Re-run with --debug for the traceback.",
        1,
    )


def _fail(message: str, code: int) -> int:
    click.echo(f"{PROGRAM}: {message}", err=True)
    return code
