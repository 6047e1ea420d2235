"""The preprocessing of a model, so that other radiographs are prepared as its own were."""

from pathlib import Path

from bone_age_tf import config as configuration
from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.ensembling.ensemble import is_trained, open_trained
from bone_age_tf.errors import ModelRefusedError, UsageError
from bone_age_tf.export.exported_model import read_manifest
from bone_age_tf.export.versions import latest_version
from bone_age_tf.preprocessing import pipeline
from bone_age_tf.preprocessing.localizer import weights as localizer


def preprocessing_of(model: str | Path) -> PreprocessingConfig:
    """Method, scale and localizer of an exported model, a run or an ensemble, which is not loaded.

    Raises `ModelRefusedError` where the folder is no model, its localizer is missing, or this version of bone-age-tf
    prepares radiographs in another way.
    """
    if is_trained(model):
        trained = open_trained(model)
        found, expected = trained.preprocessing, trained.fingerprint
    else:
        found, expected = _of_export(latest_version(Path(model)))
    _require_localizer(model, found)
    made = pipeline.fingerprint(found)
    if made != expected:
        raise ModelRefusedError(
            f"{model} expects radiographs of the preprocessing {expected[:12]}. This version of bone-age-tf makes "
            f"{made[:12]} with the same settings. Prepare them with the version that the model was trained with."
        )
    return found


def _of_export(folder: Path) -> tuple[PreprocessingConfig, str]:
    """The preprocessing and its fingerprint, from the manifest."""
    manifest = read_manifest(folder)
    try:
        found = configuration.from_dict(PreprocessingConfig, manifest["preprocessing"])
        return found.resolved(folder), manifest["fingerprint"]
    except (KeyError, TypeError, UsageError) as error:
        raise ModelRefusedError(
            f"{folder}: its manifest tells no preprocessing ({error})."
        ) from error


def _require_localizer(model: str | Path, found: PreprocessingConfig) -> None:
    """Raise `ModelRefusedError` where the files of the model's own localizer are not in its folder."""
    if not found.has_own_localizer:
        return
    missing = [n for n in localizer.FILES if not Path(found.localizer, n).is_file()]
    if missing:
        raise ModelRefusedError(
            f"{model} has a hand localizer of its own, of which {found.localizer} lacks {', '.join(missing)}. "
            "Export the model again, or give its settings: --scale "
            f"{found.scale:g} --localizer FOLDER."
        )
