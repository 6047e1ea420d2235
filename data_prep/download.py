"""The RSNA challenge's training radiographs from Kaggle, by Kaggle's own client, or how to get them by hand."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bone_age_tf.config import PhantomConfig
from bone_age_tf.data_prep.phantom.generate import write_phantoms
from bone_age_tf.errors import EnvironmentFaultError, InputDataError, UsageError

log = logging.getLogger(__name__)

DATA_SET = "kmader/rsna-bone-age"
RADIOGRAPHS = 12_611
"""In the training set (Halabi et al. 2018)."""
BY_HAND = (
    "By hand: sign in at https://www.kaggle.com/datasets/kmader/rsna-bone-age, press Download (9 GB), unpack the "
    "archive, and give its folder to `bone-age-tf prepare`."
)


def download_rsna(output: str) -> Path:
    """Download into `output`, which must be empty or absent, and count; returns the folder.

    About 9 GB. Non-commercial use; cite Halabi SS et al., Radiology 2018;290(2):498-503. Raises
    `UsageError` without the package kagglehub, `EnvironmentFaultError` where Kaggle cannot be reached or
    does not know the user, `InputDataError` where radiographs are missing.
    """
    folder = Path(output)
    if folder.exists() and any(folder.iterdir()):
        found = count_radiographs(folder)
        if found == RADIOGRAPHS:
            log.info(f"{folder} is complete already: {found} radiographs.")
            return folder
        raise UsageError(
            f"{folder} is not empty and holds {found} of {RADIOGRAPHS} radiographs. Name a new folder, or remove it."
        )
    _fetch(folder)
    found = count_radiographs(folder)
    if found != RADIOGRAPHS:
        raise InputDataError(
            f"{folder}: expected {RADIOGRAPHS} training radiographs. Received {found}. Remove the folder and "
            f"download it again. {BY_HAND}"
        )
    return folder


def count_radiographs(folder: Path) -> int:
    """PNG files of the training set, in whatever folder of the archive they lie."""
    return sum("training" in path.parent.name for path in folder.rglob("*.png"))


class Found(NamedTuple):
    """Radiographs for a demonstration."""

    folder: Path
    """In Kaggle's layout."""
    is_synthetic: bool
    """They are synthetic (phantoms), not radiographs of children."""
    why: str
    """Their origin, in words."""


def find_radiographs(
    folder: str | None,
    output: str,
    *,
    count: int,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Found:
    """`folder` if given; else Kaggle's data set if there is a Kaggle token; else `count` phantoms.

    The last two are made in `output`; `on_progress("draw", done, total)` counts the phantoms.
    """
    if folder is not None:
        return Found(Path(folder), False, f"the folder {folder}")
    if _has_kaggle_token():
        return Found(download_rsna(output), False, "the RSNA challenge's radiographs, from Kaggle")
    config = PhantomConfig(output=output, count=count, size=512)
    write_phantoms(config, on_progress=on_progress)
    return Found(
        Path(output),
        True,
        f"{count} synthetic radiographs (phantoms), because no folder was given and there is no Kaggle token",
    )


def _has_kaggle_token() -> bool:
    """Whether there is a token for Kaggle's client."""
    if os.environ.get("KAGGLE_API_TOKEN") or os.environ.get("KAGGLE_KEY"):
        return True
    paths = (".kaggle/kaggle.json", ".kaggle/access_token", ".config/kaggle/kaggle.json")
    return any((Path.home() / path).is_file() for path in paths)


def _fetch(folder: Path) -> None:
    try:
        import kagglehub
    except ModuleNotFoundError as error:
        raise UsageError(
            f"download needs the package kagglehub: pip install kagglehub, then again. {BY_HAND}"
        ) from error
    try:
        kagglehub.dataset_download(DATA_SET, output_dir=str(folder))
    except Exception as error:  # of the client, of HTTP, of the disk: there is no common base class
        raise EnvironmentFaultError(
            f"Kaggle's client could not download {DATA_SET}: {type(error).__name__}: {str(error)[:300]}. It needs a "
            "free account and its token (https://www.kaggle.com/docs/api, kaggle.json or KAGGLE_API_TOKEN). "
            f"{BY_HAND}"
        ) from error
