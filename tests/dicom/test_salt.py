import stat
from pathlib import Path

import pytest

from bone_age_tf.dicom.salt import Salt, new_salt, read_salt, salt_path, write_salt
from bone_age_tf.errors import InputDataError, UsageError

UID = "1.2.276.0.7230010.3.1.4.8323329.1"


def test_ids_do_not_change_with_the_version() -> None:
    salt = Salt(b"0123456789abcdef")
    assert salt.radiograph(UID) == "dcm-aae1b41f6440fadd"
    assert salt.patient("P-17") == "patient-2384de259799f063"


def test_ids_depend_on_salt_purpose_and_text() -> None:
    one, other = Salt(b"0123456789abcdef"), Salt(b"0123456789abcdeg")
    ids = [
        *(one.radiograph(UID), other.radiograph(UID), one.radiograph(UID + "1")),
        *(one.patient(UID), other.patient(UID)),
    ]
    assert len({text.split("-")[1] for text in ids}) == len(ids)


def test_nobody_is_no_patient() -> None:
    assert new_salt().patient("") == ""


def test_new_salts_differ_and_are_not_shown() -> None:
    one, other = new_salt(), new_salt()
    assert one != other
    assert one.secret.decode() not in repr(one)


def test_a_salt_is_read_as_it_was_written_by_its_owner_alone(tmp_path: Path) -> None:
    path, salt = tmp_path / "secrets" / "site.salt", new_salt()
    assert read_salt(path) is None
    write_salt(path, salt)
    assert read_salt(path) == salt
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*path.parent.iterdir()] == [path]


def test_a_text_of_the_users_own_is_a_salt(tmp_path: Path) -> None:
    path = tmp_path / "site.salt"
    path.write_text("correct horse battery staple\r\n")
    assert read_salt(path) == Salt(b"correct horse battery staple")


@pytest.mark.parametrize("content", ["", "\n", "short"])
def test_a_short_salt_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "site.salt"
    path.write_text(content)
    with pytest.raises(InputDataError, match="at least 16 bytes"):
        read_salt(path)


def test_a_folder_is_no_salt(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="cannot be read"):
        read_salt(tmp_path)


def test_the_salt_lies_beside_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert salt_path(tmp_path / "prepared/") == tmp_path / "prepared.salt"
    monkeypatch.chdir(tmp_path)
    assert salt_path("a/../prepared") == tmp_path / "prepared.salt"
    assert salt_path(".") == tmp_path.with_name(f"{tmp_path.name}.salt")
    assert salt_path("prepared", "site.salt") == Path("site.salt")


def test_a_salt_inside_the_data_set_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "prepared"
    output.mkdir()
    (tmp_path / "link").symlink_to(output)
    for inside in (output / "site.salt", output / "deep/site.salt", tmp_path / "link/site.salt"):
        with pytest.raises(UsageError, match="outside the data set"):
            salt_path(output, str(inside))
