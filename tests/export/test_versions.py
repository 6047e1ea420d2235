"""Version folders of exported models."""

from pathlib import Path

import pytest

from bone_age_tf.export.versions import latest_version, new_version


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    for number in ("2", "9", "10"):
        (tmp_path / number).mkdir()
    (tmp_path / "serving-kit").mkdir()
    return tmp_path


def test_the_latest_version_is_the_largest_number(versions: Path) -> None:
    assert latest_version(versions) == versions / "10"


def test_a_new_version_is_one_above_the_largest(versions: Path) -> None:
    with new_version(versions, None) as (aside, target):
        aside.mkdir()
    assert target == versions / "11"
    assert target.is_dir() and not aside.exists()
