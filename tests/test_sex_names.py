import subprocess
import sys

import pytest

from bone_age_tf.sex import SEX_NAMES, Sex, sex_from_label


def test_labels_and_sexes_are_each_others_inverse() -> None:
    assert [sex_from_label(name).label for name in SEX_NAMES] == ["F", "M", "unknown"]
    assert [int(sex) for sex in Sex] == [0, 1, 2]  # as models were trained
    with pytest.raises(ValueError):
        sex_from_label("female")


def test_growth_needs_no_tensorflow() -> None:
    code = "import bone_age_tf.growth, sys; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
