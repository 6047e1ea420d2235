"""The model of the node, loaded once: from a file to its result."""

from collections.abc import Sequence
from pathlib import Path

from bone_age_tf.config import LabelOptions
from bone_age_tf.dicom.admission import accept
from bone_age_tf.dicom_output.result import Result
from bone_age_tf.dicom_output.results import identity_of, result_of
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.golden import require_golden
from bone_age_tf.files.images import SourceFile
from bone_age_tf.inference.known import Known
from bone_age_tf.inference.predict import predict_files

COMMAND = "dicom-node"


class Predictor:
    """What `worker.Predict` is. `accept_dicom`: reasons for which a header does not reject a radiograph."""

    def __init__(self, model: str, accept_dicom: Sequence[str] = ()) -> None:
        """Raises `ModelRefusedError` where the model cannot be used."""
        accept(*accept_dicom)
        self.identity = identity_of(model)
        self._model = ExportedModel.open(model)
        require_golden(self._model)

    def __call__(self, path: Path, *, with_radiograph: bool) -> Result | str:
        """The result, also of a rejected radiograph; or why there is none."""
        file = SourceFile(path.name, str(path))
        options = LabelOptions(unlabelled=True)
        known = Known.read(COMMAND, [file], sex=None, labels=None, label_options=options)
        (predicted,) = predict_files(self._model, [file], known)
        result = result_of(predicted, self.identity, with_radiograph=with_radiograph)
        if result is None:
            return predicted.prediction.reason
        return f"no_object: {result.obstacle}" if result.obstacle else result
