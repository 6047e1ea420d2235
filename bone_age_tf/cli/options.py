"""Options and arguments that several commands share, as decorators."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bone_age_tf.cli import console
from bone_age_tf.config import (
    CHECKPOINTS,
    CORRECTIONS,
    DICOM_OBJECTS,
    DICOM_REASONS,
    READING_METHODS,
    SR_CLASSES,
)
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.export.shipped_model import SHIPPED, default_model, shipped_model

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

EXISTING_FOLDER = click.Path(exists=True, file_okay=False)
EXISTING_FILE = click.Path(exists=True, dir_okay=False)
AGE_UNITS = ("months", "years")


class ModelFolder(click.Path):
    """An existing folder, or `shipped`, the folder that `export.shipped_model` finds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path of the folder. Raises `UsageError` where there is no shipped model, `ModelRefusedError` of a file."""
        if Path(value).is_file():
            raise ModelRefusedError(
                f"{value}: a file. Expected the folder of an exported model, a run or an ensemble. Keras archives, "
                ".h5 files and pickles can hold code that runs when they are loaded, so they are not loaded. "
                "Make a model with: bone-age-tf export."
            )
        return super().convert(str(shipped_model()) if value == SHIPPED else value, param, ctx)


MODEL_FOLDER = ModelFolder(exists=True, file_okay=False)

# === What every command has ===


def without_tensorflow(command: Command) -> Command:
    """`--quiet`, `--debug`, the log and `progress`, for a command that needs no TensorFlow."""

    @click.option("--quiet", is_flag=True, help="No progress and no log, only the result.")
    @click.option("--debug", is_flag=True, help="Full log, and the traceback of an error.")
    @functools.wraps(command)
    def wrapped(*, quiet: bool, debug: bool, **options: Any) -> Any:
        console.set_up_logging(quiet=quiet, debug=debug)
        return command(progress=console.ProgressDisplay(quiet=quiet), **options)

    return wrapped


def with_tensorflow(command: Command) -> Command:
    """The same for a command that needs TensorFlow's Python package, which is imported without its start-up messages."""
    return _starting(console.import_tensorflow_silently, command)


def with_exported_model(command: Command) -> Command:
    """The same for a command that only runs exported models: TensorFlow's library is loaded, which takes less."""
    return _starting(console.load_tensorflow_silently, command)


def _starting(start: Callable[[], None], command: Command) -> Command:
    @without_tensorflow
    @functools.wraps(command)
    def wrapped(**options: Any) -> Any:
        if not click.get_current_context().params["debug"]:
            start()
        return command(**options)

    return wrapped


# === Input ===

radiographs_argument = click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True)
)
"""PATHS: files, folders and zips of radiographs."""

exported_model_option = click.option(
    "--model",
    default=lambda: str(default_model()),
    show_default="saved_models/bone_age, or else shipped",
    type=MODEL_FOLDER,
    help="Exported model: a model folder, of which the highest version is taken, or one version. "
    "shipped: the shipped model.",
)
"""`--model`: an exported model; by default that of the current folder, or the shipped one."""

version_option = click.option(
    "--version", type=click.IntRange(min=1), help="Version to write. [one above the highest]"
)
"""`--version` of the exported model to write."""

localizer_option = click.option(
    "--localizer", help="Folder of a hand localizer trained by you. [the shipped one]"
)
"""`--localizer`: folder of a hand localizer; None: the shipped one."""

correction_option = click.option(
    "--correction",
    type=click.Choice(CORRECTIONS),
    default="linear",
    show_default=True,
    help="Sex-specific recalibration, kept only where it helps in cross-validation. linear: a line. monotone: a curve, "
    "with less bias at the ends of the scale. none: no recalibration.",
)
"""`--correction`: linear, monotone or none."""


def input_folder_option(name: str, help: str) -> Decorator:
    """A required option that names a folder that exists."""
    return click.option(name, required=True, type=EXISTING_FOLDER, help=help)


def checkpoint_option(default: str | None) -> Decorator:
    """`--checkpoint`: which weights of a run. `default` None: the command's own default, best."""
    return click.option(
        "--checkpoint",
        type=click.Choice(CHECKPOINTS),
        default=default,
        help="Weights of a run: of its best epoch in validation, or of its last epoch. "
        f"[{default or 'best'}]",
    )


# === Labels ===


class SexWord(click.ParamType):
    """F, M or unknown, given as any usual word."""

    name = "F|M|unknown"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The label of a word."""
        from bone_age_tf.config.sex_words import EXPECTED, sex_of_word

        label = sex_of_word(value)
        if label is None:
            self.fail(f"expected {EXPECTED}. Received: {value!r}.", param, ctx)
        return label


def _merge_sex_maps(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str]:
    from bone_age_tf.config.sex_words import parse_sex_map

    return {word: sex for text in texts for word, sex in parse_sex_map(text).items()}


sex_map_option = click.option(
    "--sex-map",
    multiple=True,
    callback=_merge_sex_maps,
    metavar="WORD=F|M|unknown",
    help="Meaning of a word in the column of the sex, as in 0=F,1=M. Repeatable.",
)
"""`--sex-map`: what words in the column of the sex mean."""


def sex_or_labels_options(command: Command) -> Command:
    """`--sex` and `--labels`, one of which tells the sex of each radiograph, unless its header does."""
    sex = click.option(
        "--sex",
        type=SexWord(),
        help="Sex of every file for which neither --labels nor the header of a DICOM file tells it.",
    )
    table = click.option(
        "--labels",
        type=EXISTING_FILE,
        help="Table with identifier and sex; a row is matched to a file by its name without extension, or its path; "
        "to a DICOM file also by SOP Instance UID, Accession Number, or Patient ID and study date.",
    )
    return sex(table(command))


accept_dicom_option = click.option(
    "--accept-dicom",
    type=click.Choice(DICOM_REASONS),
    multiple=True,
    help="Read DICOM files in spite of this reason in their header. Repeatable.",
)
"""`--accept-dicom`: reasons for which a header does not reject a DICOM file."""


def label_column_options(*names: str) -> Decorator:
    """`--id-column` and the like, for columns of `--labels` that are not recognized; of id, age, sex."""
    meanings = {"id": "identifier", "age": "bone age", "sex": "sex"}

    def with_options(command: Command) -> Command:
        if "sex" in names:
            command = sex_map_option(command)
        if "age" in names:
            command = age_unit_option("--age-unit", "bone age")(command)
        for name in reversed(names):
            text = f"Column of the {meanings[name]} in --labels."
            command = click.option(f"--{name}-column", help=text)(command)
        return command

    return with_options


def age_unit_option(flag: str, meaning: str) -> Decorator:
    """An option for the unit of a column of ages."""
    return click.option(
        flag, type=click.Choice(AGE_UNITS), help=f"Unit of the {meaning} in --labels. [months]"
    )


def pop_label_options(options: dict[str, Any]) -> Any:
    """Take what says how to read `--labels`, but for `--sex`, out of `options`; returns `config.LabelOptions`."""
    from bone_age_tf.config import LabelOptions

    fields = [name for name in LabelOptions.__dataclass_fields__ if name != "sex"]
    names = [name for name in fields if name in options]
    return LabelOptions(**{name: options.pop(name) for name in names})


# === Output ===


def output_folder_option(help: str = "Folder for the results.") -> Decorator:
    """`--output`: a folder to write into."""
    return click.option("--output", required=True, type=click.Path(file_okay=False), help=help)


overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace the results of an earlier call."
)
"""`--overwrite`: without it, a folder that holds results is refused."""


def results_folder_options(command: Command) -> Command:
    """`--output` and `--overwrite`, for a command whose results are files in a folder."""
    return output_folder_option()(overwrite_option(command))


def dicom_object_options(command: Command) -> Command:
    """`--dicom-object`, `--sr` and `--uid-root`: what DICOM output is made of."""
    kinds = click.option(
        "--dicom-object",
        "dicom_objects",
        type=click.Choice(DICOM_OBJECTS),
        multiple=True,
        help="Kind of DICOM object to make of each radiograph. Repeatable. [report and picture]",
    )
    sr = click.option(
        "--sr",
        type=click.Choice(SR_CLASSES),
        help="SOP class of the report: Comprehensive 3D SR, or Comprehensive SR for older viewers. "
        "[comprehensive_3d]",
    )
    root = click.option(
        "--uid-root",
        metavar="UID",
        help="Root of your site for the UIDs of the objects. [2.25, of a UUID]",
    )
    return kinds(sr(root(command)))


def pop_dicom_objects(options: dict[str, Any], *, destination: str | None, of: str) -> Any:
    """Take these out of `options`; returns a `config.DicomOutputConfig`, None without a destination.

    `of` is the option that names the destination. Raises `UsageError` where they are given without it.
    """
    from bone_age_tf.config import DicomOutputConfig

    given = {
        "objects": tuple(dict.fromkeys(options.pop("dicom_objects"))),
        "sr": options.pop("sr"),
        "uid_root": options.pop("uid_root"),
    }
    given = {name: value for name, value in given.items() if value}
    if destination is not None:
        return DicomOutputConfig(**given)
    if given:
        flags = {"objects": "--dicom-object", "sr": "--sr", "uid_root": "--uid-root"}
        raise click.UsageError(f"{flags[next(iter(given))]} needs {of}: it is about DICOM output.")
    return None


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON instead of a table."
)
"""`--json`."""

reading_method_option = click.option(
    "--reading-method",
    type=click.Choice(READING_METHODS),
    help="How the bone ages that it was fitted to were read, for DICOM and FHIR results, which name the method "
    "only where it is known, and for adult heights, which are for greulich_pyle alone.",
)
"""`--reading-method` of the commands that write a model."""

serving_kit_option = click.option(
    "--serving-kit",
    is_flag=True,
    help="Also write the files for a deployment: warm-up requests, and OUTPUT/serving-kit for "
    "TensorFlow Serving, Docker and Kubernetes.",
)
"""`--serving-kit` of the commands that write a model."""
