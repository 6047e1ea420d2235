"""Settings of `growth`: how a table of visits is read."""

import dataclasses
from collections.abc import Mapping

from pydantic.dataclasses import dataclass

from bone_age_tf.config.choices import AgeUnit, SexLabel
from bone_age_tf.config.parsing import Settings


@dataclass(frozen=True)
class VisitOptions(Settings, typed_as="--{}"):
    """How to read a table of visits whose columns are not recognised by themselves."""

    id_column: str | None = None
    """Column of the child."""
    date_column: str | None = None
    """Column of the date of the visit."""
    birth_date_column: str | None = None
    """Column of the birth date."""
    chronological_age_column: str | None = None
    """Column of the chronological age, where there are no dates."""
    chronological_age_unit: AgeUnit | None = None
    """`months` or `years`; None: what the header says."""
    sex_column: str | None = None
    """Column of the sex."""
    sex_map: Mapping[str, SexLabel] = dataclasses.field(default_factory=dict)
    """Meaning of words in that column; it goes before the known ones."""
    height_column: str | None = None
    """Column of the standing height in centimetres."""
    age_column: str | None = None
    """Column of the bone age."""
    age_unit: AgeUnit | None = None
    """As `chronological_age_unit`."""
    file_column: str | None = None
    """Column of the radiograph's file."""
    father_height_column: str | None = None
    """Column of the father's height in centimetres."""
    mother_height_column: str | None = None
    """Column of the mother's height in centimetres."""
