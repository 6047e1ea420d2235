import pytest

from bone_age_tf.growth.published_errors import method_sd_cm
from bone_age_tf.sex import Sex


@pytest.mark.parametrize(
    ("age", "sex", "inches"),
    [
        (96, Sex.F, 1.73),
        (120, Sex.F, 1.37),
        (123, Sex.F, (1.37 + 1.20) / 2),
        (102, Sex.M, (1.47 + 1.27) / 2),  # none is printed at 8-6
        (162, Sex.M, 1.32),
        (216, Sex.M, 0.38),
    ],
)
def test_the_sd_of_the_validating_sample_in_centimetres(
    age: float, sex: Sex, inches: float
) -> None:
    assert method_sd_cm(age, sex) == pytest.approx(inches * 2.54)


@pytest.mark.parametrize(
    ("age", "sex"), [(95.9, Sex.F), (216.1, Sex.M), (120, Sex.UNKNOWN), (float("nan"), Sex.F)]
)
def test_there_is_no_error_where_none_is_published(age: float, sex: Sex) -> None:
    assert method_sd_cm(age, sex) is None
