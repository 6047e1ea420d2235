"""What is known of radiographs before they are read: by the label table, by the headers of DICOM files, or by the command."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np

from bone_age_tf.config import LabelOptions
from bone_age_tf.config.sex_words import require_sex_word
from bone_age_tf.data.file_labels import FileLabels, read_file_labels
from bone_age_tf.data.header_values import UNKNOWN, rejected_by, warnings_of
from bone_age_tf.errors import UsageError
from bone_age_tf.files.images import SourceFile
from bone_age_tf.growth.assessment import Heights
from bone_age_tf.preprocessing.rejections import Rejection


@dataclasses.dataclass(frozen=True)
class Known:
    """In this order: the table, the header, and what the command gives for all radiographs."""

    labels: FileLabels
    sex: str | None = None
    chronological_age_months: float | None = None
    heights: Heights = Heights()  # noqa: RUF009 - frozen

    @classmethod
    def read(
        cls,
        command: str,
        files: Sequence[SourceFile],
        *,
        sex: str | None,
        labels: str | None,
        label_options: LabelOptions,
        chronological_age_months: float | None = None,
        heights: Heights = Heights(),  # noqa: B008 - frozen
    ) -> "Known":
        """The table and all headers. Raises `UsageError` where nothing tells a sex, `InputDataError` where the table
        cannot be used."""
        sex = None if sex is None else require_sex_word(sex)
        options = dataclasses.replace(label_options, unlabelled=True, sex=sex)  # type: ignore[arg-type]
        found = read_file_labels(labels, options, files)
        if sex is None and labels is None and not found.headers:
            raise UsageError(
                f"{command} needs the sex. Expected --sex F, M or unknown, or a table with --labels. "
                "Received neither."
            )
        return cls(found, sex, chronological_age_months, heights)

    def rejection(self, file: SourceFile) -> Rejection | None:
        """Why the file is not read: for what its header tells, its row in the table, or the lack of a sex."""
        fault = rejected_by(self.labels.headers.get(file))
        if fault is not None:
            return Rejection(*fault)
        if file in self.labels.problems:
            return Rejection("bad_label", self.labels.problems[file].message)
        return NO_SEX if self.sex_of(file) is None else None

    def sex_of(self, file: SourceFile) -> str | None:
        """F, M or unknown; None where nothing tells it, or the row in the table cannot be used."""
        if file in self.labels.problems:
            return None
        if file in self.labels.rows:
            return self.labels.rows[file].sex.label
        header = self.labels.header(file)
        return (header.sex if header else None) or self.sex or (UNKNOWN if header else None)

    def shown(self, file: SourceFile) -> tuple[str, str]:
        """What the file and its radiograph are called in pictures and the like; of DICOM, nothing that names a patient."""
        name = self.labels.names.get(file)
        return (file.name, self.labels.ids[file]) if name is None else (name, name)

    def age_of(self, file: SourceFile) -> float | None:
        """Chronological age in months."""
        label, header = self.labels.rows.get(file), self.labels.header(file)
        told = (
            label.chronological_age_months if label else math.nan,
            header.chronological_age_months if header else math.nan,
        )
        return next((age for age in told if not math.isnan(age)), self.chronological_age_months)

    def heights_of(self, file: SourceFile) -> Heights:
        """Of the child and its parents: by the table and the command. What a header says of the size is not used: it
        does not say when it was measured."""
        label = self.labels.rows.get(file)
        return Heights(*label.heights).otherwise(self.heights) if label else self.heights

    def true_months_of(self, file: SourceFile) -> float | None:
        """The bone age of the table."""
        label = self.labels.rows.get(file)
        is_known = label is not None and not math.isnan(label.bone_age_months)
        return label.bone_age_months if label is not None and is_known else None

    def warnings_of(
        self, file: SourceFile, prepared_to_original: np.ndarray | None
    ) -> Iterator[str]:
        """Codes of `dicom.warnings`, of a DICOM file: also where the command says otherwise than its header.

        The matrix [2, 3] is that of a registered radiograph, None of any other.
        """
        header = self.labels.header(file)
        if header is None:
            return
        sex, age = self.sex_of(file), self.age_of(file)
        label = self.labels.rows.get(file)
        if header.sex is not None and (label is None or not label.is_sex_told):
            sex = self.sex or sex  # not used, since the header goes first; said all the same
        if label is None or label.chronological_age_months == header.chronological_age_months:
            age = age if self.chronological_age_months is None else self.chronological_age_months
        yield from warnings_of(
            header, sex=sex, chronological_age_months=age, prepared_to_original=prepared_to_original
        )


NO_SEX = Rejection(
    "no_sex",
    "nothing tells the sex of this file: give --sex, or a row in the table of --labels",
)
