from bone_age_tf.dicom import warnings
from bone_age_tf.dicom.warnings import WARNINGS


def test_every_code_has_a_line() -> None:
    codes = {
        value for name, value in vars(warnings).items() if name.isupper() and isinstance(value, str)
    }
    assert codes == set(WARNINGS)
    assert all("\n" not in line and len(line) < 110 for line in WARNINGS.values())
