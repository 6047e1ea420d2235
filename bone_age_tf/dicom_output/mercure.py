"""The contract of a processing module of mercure (mercure-imaging.org, "Module Development").

| mercure | here |
|---|---|
| `*.dcm` and `task.json` in the input folder | the radiographs, and `process.settings` as `MercureConfig` |
| `*.dcm` in the output folder are sent to the targets of the rule | the objects, named `SERIES#OBJECT.dcm` as mercure's own |
| `result.json` there goes into mercure's database | the results, without names, dates and UIDs |
| exit code other than 0: the task has failed | radiographs that are rejected are a success |

The input is not copied: mercure does it itself where the rule says so ("retain input images").
"""

import collections
import dataclasses
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bone_age_tf import __version__
from bone_age_tf.config import RESEARCH_ONLY, LabelOptions
from bone_age_tf.config.mercure import MercureConfig
from bone_age_tf.config.parsing import from_dict, to_dict
from bone_age_tf.dicom.admission import accept
from bone_age_tf.dicom_output.attributes import encoded
from bone_age_tf.dicom_output.objects import MAKERS
from bone_age_tf.dicom_output.packages import require_packages
from bone_age_tf.dicom_output.result import ModelIdentity
from bone_age_tf.dicom_output.results import identity_of, result_of
from bone_age_tf.dicom_output.selection import left_out
from bone_age_tf.errors import BoneAgeError, InputDataError, UsageError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.atomic import write_json, written_whole
from bone_age_tf.files.images import list_files
from bone_age_tf.inference.known import Known
from bone_age_tf.inference.predict import Predicted, predict_files
from bone_age_tf.metrics.predictions import OK

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

log = logging.getLogger(__name__)

COMMAND = "mercure"
TASK, RESULT = "task.json", "result.json"
NOT_MADE = "not_made: this object cannot be made of the header"
_SETTINGS = f"{TASK}, process.settings"
_NOT_TOLD = ("file", "sop_instance_uid", "bone_age_months_true")
"""Fields of a `Prediction` that do not go into `result.json`: a file's name is made of UIDs."""

Progress = Callable[[str, int, int], None]


def process(input: Path, output: Path, model: str, on_progress: Progress) -> dict[str, Any]:
    """Process a task; returns what is in `result.json`, which also says why a task has failed.

    `model` is used where the settings name none. Raises `BoneAgeError` for what the user can do something about.
    """
    try:
        result = _process(input, output, model, on_progress)
    except Exception as error:
        why = (
            str(error)
            if isinstance(error, BoneAgeError)
            else f"internal error ({type(error).__name__})"
        )
        write_json(output / RESULT, {"status": "failed", "error": why, **_software()})
        raise
    write_json(output / RESULT, result)
    return result


def read_process(folder: Path) -> dict[str, Any]:
    """The section `process` of `task.json`; empty where there is none. Raises `InputDataError`."""
    try:
        task = json.loads((folder / TASK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise InputDataError(f"{TASK}: expected JSON. Received what cannot be read.") from error
    process = task.get("process") if isinstance(task, dict) else None
    return process if isinstance(process, dict) else {}


def settings_of(process: Mapping[str, Any]) -> MercureConfig:
    """Its settings, those of the module and the rule in one. Raises `UsageError`."""
    settings = process.get("settings") or {}
    if not isinstance(settings, dict):
        raise UsageError(f"{_SETTINGS}: expected an object. Received: {settings!r}.")
    try:
        return from_dict(MercureConfig, settings)
    except UsageError as error:
        raise UsageError(f"{_SETTINGS}: {error}") from None


def _process(input: Path, output: Path, model: str, on_progress: Progress) -> dict[str, Any]:
    require_packages()
    process = read_process(input)
    config = settings_of(process)
    accept(*config.accept_dicom)
    files = [file for file in list_files(input) if file.suffix == ".dcm" and file.member is None]
    if not files:
        raise InputDataError(f"{input}: expected *.dcm files of a study or series. Received none.")
    known = Known.read(
        COMMAND, files, sex=None, labels=None, label_options=LabelOptions(unlabelled=True)
    )
    reasons = {file: left_out(known.labels.headers.get(file)) for file in files}
    meant = [file for file in files if not reasons[file]]
    exported, identity = (
        ExportedModel.open(config.model or model),
        identity_of(config.model or model),
    )
    rows = []
    for one in predict_files(exported, meant, known):
        rows.append(_row(one, _write_objects(one, identity, config, output)))
        on_progress("predict", len(rows), len(meant))
    _require_objects(rows)
    return {
        "status": "ok",
        **_software(),
        "model": dataclasses.asdict(identity),
        "settings": to_dict(config),
        "radiographs": rows,
        "left_out": collections.Counter(filter(None, reasons.values())),
        **_for_mercure(rows, process),
    }


def _write_objects(
    predicted: Predicted, model: ModelIdentity, config: MercureConfig, output: Path
) -> dict[str, str]:
    """Kind -> file; or why there is none."""
    result = result_of(predicted, model, with_radiograph="picture" in config.objects)
    if result is None:
        return {}
    written = {}
    for kind in config.objects:
        try:
            made = MAKERS[kind](result, config)
            files = {} if made is None else {_file_name(made): encoded(made)}
        except Exception as error:  # of the libraries, for what is odd in a header: the next one is made all the same
            log.debug(f"{predicted.shown_id}: no {kind}", exc_info=True)
            written[kind] = f"{NOT_MADE} ({type(error).__name__})"
            continue
        for name, content in files.items():
            with written_whole(output / name, "wb") as stream:
                stream.write(content)
            written[kind] = name
    return written


def _file_name(dataset: "Dataset") -> str:
    """As mercure names files: the UIDs of series and object."""
    return f"{dataset.SeriesInstanceUID}#{dataset.SOPInstanceUID}.dcm"


def _row(predicted: Predicted, objects: Mapping[str, str]) -> dict[str, Any]:
    row = predicted.prediction.flat()
    told = {name: value for name, value in row.items() if name not in _NOT_TOLD}
    return {**told, "id": predicted.shown_id, "objects": dict(objects)}


def _has_object(row: Mapping[str, Any]) -> bool:
    return any(name.endswith(".dcm") for name in row["objects"].values())


def _require_objects(rows: Sequence[Mapping[str, Any]]) -> None:
    if rows and not any(map(_has_object, rows)):
        reasons = {why for row in rows for why in (*row["objects"].values(), row["reason"]) if why}
        raise InputDataError(
            f"No object could be made of {len(rows)} radiographs: {'; '.join(sorted(reasons))}."
        )


def _for_mercure(rows: Sequence[Mapping[str, Any]], process: Mapping[str, Any]) -> dict[str, Any]:
    """What mercure itself reads: a text for notifications, and to send nothing where there is nothing."""
    predicted = sum(row["status"] == OK for row in rows)
    text = f"Bone age: {predicted} radiographs predicted, {len(rows) - predicted} rejected."
    directives: dict[str, Any] = {"__mercure_notification": {"text": text}}
    if not rows and not process.get("retain_input_images"):
        directives["__mercure_routing"] = {"discard": True}
    return directives


def _software() -> dict[str, str]:
    return {"software": f"bone-age-tf {__version__}", "note": RESEARCH_ONLY}
