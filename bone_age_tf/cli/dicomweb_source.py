"""`predict --dicomweb`: the options, and the radiographs of the study instead of PATHS."""

import contextlib
import dataclasses
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bone_age_tf.cli import console

if TYPE_CHECKING:
    from bone_age_tf.config.dicomweb import DicomwebConfig
    from bone_age_tf.dicom_output.dicomweb import Study
    from bone_age_tf.dicom_output.folder import DicomFolder

log = logging.getLogger(__name__)

OBJECTS = "dicom"
"""Folder of the objects in that of the results, where --dicom-output names none."""


def dicomweb_options(command: Any) -> Any:
    """`--dicomweb`, `--study`, `--series` and `--no-store`."""
    for option in reversed(
        (
            click.option(
                "--dicomweb",
                metavar="URL",
                help="Instead of PATHS: the radiographs of --study in a DICOMweb archive. Results are stored there, too.",
            ),
            click.option("--study", metavar="UID", help="Study Instance UID in --dicomweb."),
            click.option(
                "--series", metavar="UID", help="Series Instance UID. [series that may show a hand]"
            ),
            click.option(
                "--no-store", is_flag=True, help="Store nothing in --dicomweb: only write files."
            ),
        )
    ):
        command = option(command)
    return command


@dataclasses.dataclass(frozen=True)
class DicomwebSource:
    """A study in an archive."""

    archive: "DicomwebConfig"
    study: "Study"
    is_stored: bool

    @contextlib.contextmanager
    def radiographs(self, progress: console.ProgressDisplay) -> Iterator[tuple[str, ...]]:
        """The folder of the radiographs, while the block runs."""
        from bone_age_tf.dicom_output.dicomweb import retrieve

        with tempfile.TemporaryDirectory(prefix="bone-age-tf-") as folder:
            retrieve(self.archive, self.study, Path(folder), progress)
            yield (folder,)

    def store(self, objects: "DicomFolder") -> None:
        """Store the objects of a folder in the archive. Raises `NotStoredError` where it does not take them all."""
        from bone_age_tf.dicom_output.dicomweb import store_objects

        files = {row.sop_instance_uid: row.file for row in objects.rows if row.file}
        count = store_objects(self.archive, objects.folder, files)
        log.info(f"Objects stored in {self.archive.url}: {count}.")


def pop_source(settings: dict[str, Any], paths: tuple[str, ...]) -> DicomwebSource | None:
    """Take the options out of `settings`. Raises `UsageError` where they or PATHS are not given as they belong together."""
    names = ("dicomweb", "study", "series", "no_store")
    url, study, series, no_store = (settings.pop(name) for name in names)
    if url is None:
        given = {"--study": study, "--series": series, "--no-store": no_store}
        for flag in (flag for flag, value in given.items() if value):
            raise click.UsageError(f"{flag} needs --dicomweb: it is about an archive.")
        if not paths:
            raise click.UsageError("Missing argument 'PATHS...', or --dicomweb with --study.")
        return None
    if paths:
        raise click.UsageError("Expected PATHS or --dicomweb. Received both.")
    if study is None:
        raise click.UsageError("--dicomweb needs --study: which study to predict.")
    return _source(url, study, series, settings, is_stored=not no_store)


def _source(
    url: str, study: str, series: str | None, settings: dict[str, Any], *, is_stored: bool
) -> DicomwebSource:
    from bone_age_tf.config.dicomweb import DicomwebConfig
    from bone_age_tf.dicom_output.packages import require_packages

    require_packages()
    from bone_age_tf.dicom_output.dicomweb import Study

    wanted = Study(study, series, settings["accept_dicom"])
    return DicomwebSource(DicomwebConfig(url=url), wanted, is_stored)
