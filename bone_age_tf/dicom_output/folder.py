"""`predict --dicom-output`: the objects of a batch as files of a folder."""

import collections
import csv
import dataclasses
import logging
import tempfile
from pathlib import Path

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.data.dicom_headers import is_dicom
from bone_age_tf.dicom_output.attributes import encoded
from bone_age_tf.dicom_output.objects import MAKERS, NEED_RADIOGRAPH
from bone_age_tf.dicom_output.packages import require_packages
from bone_age_tf.dicom_output.result import Result
from bone_age_tf.dicom_output.results import identity_of, result_of
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.files.atomic import written_whole
from bone_age_tf.files.outputs import claim_output, require_free
from bone_age_tf.files.provenance import write_provenance
from bone_age_tf.inference import predict
from bone_age_tf.inference.predict import Predicted

log = logging.getLogger(__name__)

TABLE = "objects.csv"
OBJECTS = "objects"
STORED = "stored.csv"
"""What an archive says of each object, where they were stored in one."""
RESULTS = (TABLE, OBJECTS, STORED)
OPTION = "--dicom-output"
NOT_DICOM = "not_dicom: the file is not DICOM: there is no study that an object could belong to"
UNREADABLE = "unreadable: the file could be read before, and no longer"
NOT_MADE = "not_made: this object cannot be made of the header"


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table: an object, or why a file gives none."""

    id: str
    """As in the results of `predict`; of DICOM files a number, no name."""
    kind: str = ""
    """Empty where the file gives no object at all."""
    file: str = ""
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    reason: str = ""


class DicomFolder:
    """Writes `objects/NUMBER-KIND.dcm` of each radiograph that is a DICOM file, and `objects.csv`, a row for each object.

    NUMBER is that of the row in the results of `predict`. A file that gives no object, and an object that cannot be made,
    has a row with the reason. `output` is the folder of these results.
    """

    def __init__(
        self, folder: str, model: str, config: DicomOutputConfig, *, output: str, overwrite: bool
    ) -> None:
        """Raises `UsageError` where the folder holds results or lies in the way, or packages are missing,
        `ModelRefusedError` without a model."""
        require_packages()
        _require_apart(Path(folder), Path(output))
        require_free(Path(output), predict.COMMAND, predict.RESULTS, overwrite=overwrite)
        require_free(Path(folder), predict.COMMAND, RESULTS, overwrite=overwrite, option=OPTION)
        self.folder = Path(folder)
        self.rows: list[Row] = []
        self._model, self._config, self._overwrite = identity_of(model), config, overwrite
        self._number = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder):
            pass  # one that cannot be written to is an error before the work

    def __call__(self, predicted: Predicted) -> None:
        """Write the objects of the next radiograph."""
        if not self._number:
            self._claim()
        self._number += 1
        try:
            self.rows += self._rows_of(predicted)
        except InputDataError:  # its text has the file's name
            self.rows.append(Row(predicted.shown_id, reason=UNREADABLE))

    def _rows_of(self, predicted: Predicted) -> list[Row]:
        needs_pixels = not set(NEED_RADIOGRAPH).isdisjoint(self._config.objects)
        result = result_of(predicted, self._model, with_radiograph=needs_pixels)
        if result is None:
            return [Row(predicted.shown_id, reason=_reason_without_header(predicted))]
        if result.obstacle:
            return [Row(predicted.shown_id, reason=f"no_object: {result.obstacle}")]
        rows = [self._write(predicted.shown_id, kind, result) for kind in self._config.objects]
        made = [row for row in rows if row is not None]
        return made or [Row(predicted.shown_id, reason=predicted.prediction.reason)]

    def close(self) -> str:
        """Write the table; returns a line on what was written."""
        if not self._number:
            self._claim()
        with written_whole(self.folder / TABLE) as stream:
            names = [field.name for field in dataclasses.fields(Row)]
            writer = csv.DictWriter(stream, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows([dataclasses.asdict(row) for row in self.rows])
        counts = collections.Counter(row.kind for row in self.rows if row.file)
        write_provenance(
            self.folder,
            predict.COMMAND,
            dicom_output=dataclasses.asdict(self._config),
            model=dataclasses.asdict(self._model),
            objects=dict(counts),
            rows_without_object=self.missing,
        )
        kinds = ", ".join(f"{kind} {count}" for kind, count in counts.items()) or "none"
        without = f"; without an object: {self.missing}" if self.missing else ""
        return f"DICOM objects in {self.folder}: {kinds}{without}. {TABLE} lists them."

    @property
    def missing(self) -> int:
        """Files that gave no object, and objects that could not be made."""
        return sum(not row.file for row in self.rows)

    def _claim(self) -> None:
        claim_output(
            self.folder, predict.COMMAND, RESULTS, overwrite=self._overwrite, option=OPTION
        )
        (self.folder / OBJECTS).mkdir()

    def _write(self, id: str, kind: str, result: Result) -> Row | None:
        """None where the result gives no such object."""
        try:
            dataset = MAKERS[kind](result, self._config)
            content = None if dataset is None else encoded(dataset)
        except Exception as error:  # of the libraries, for what is odd in a header: the next object is made all the same
            log.debug(f"{id}: no {kind}", exc_info=True)
            return Row(id, kind, reason=f"{NOT_MADE} ({type(error).__name__})")
        if dataset is None or content is None:
            return None
        name = f"{OBJECTS}/{self._number:04d}-{kind}.dcm"
        with written_whole(self.folder / name, "wb") as stream:
            stream.write(content)
        return Row(id, kind, name, str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))


def _reason_without_header(predicted: Predicted) -> str:
    return predicted.prediction.reason if is_dicom(predicted.file) else NOT_DICOM


def _require_apart(folder: Path, output: Path) -> None:
    """Neither folder among the results of the other, which `--overwrite` deletes."""
    folder, output = folder.resolve(), output.resolve()
    within = [output, *(output / name for name in predict.RESULTS)]
    around = [folder / name for name in RESULTS]
    if (
        folder in within
        or any(folder.is_relative_to(one) for one in within[1:])
        or any(output.is_relative_to(one) for one in around)
    ):
        raise UsageError(
            f"{OPTION} {folder}: expected a folder of its own. Received one among the results in --output {output}. "
            f"Choose another, as {OPTION} {output / 'dicom'}."
        )
