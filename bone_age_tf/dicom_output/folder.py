"""`predict --dicom-output`: the objects of a batch as files of a folder."""

import csv

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom_output.packages import require_packages
from bone_age_tf.dicom_output.results import identity_of
from bone_age_tf.files.atomic import written_whole
from bone_age_tf.files.outputs import claim_output
from bone_age_tf.inference.predict import Predicted

TABLE = "objects.csv"
OBJECTS = "objects"
RESULTS = (TABLE, OBJECTS)
COLUMNS = ("id", "kind", "file", "sop_class_uid", "sop_instance_uid", "reason")


class DicomFolder:
    """Writes `objects/NUMBER-KIND.dcm` of each radiograph that is a DICOM file, and `objects.csv`, a row for each object.

    A file that gives no object has a row with the reason. Raises `UsageError` where the folder holds results.
    """

    def __init__(
        self, folder: str, model: str, config: DicomOutputConfig, *, overwrite: bool
    ) -> None:
        require_packages()
        self.folder = claim_output(folder, "predict", RESULTS, overwrite=overwrite)
        (self.folder / OBJECTS).mkdir()
        self._model, self._config = identity_of(model), config
        self._rows: list[dict[str, str]] = []
        self._number = 0

    def __call__(self, predicted: Predicted) -> None:
        """Write the objects of one radiograph."""
        raise NotImplementedError

    def close(self) -> None:
        """Write the table."""
        with written_whole(self.folder / TABLE) as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self._rows)
