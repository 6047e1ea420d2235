import io
import os
import zipfile
from pathlib import Path

import pytest

from bone_age_tf.errors import InputDataError
from bone_age_tf.files import images as image_files
from bone_age_tf.files.images import SourceFile, kinds, list_files, radiographs_in


def _write_zip(
    path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _write_file(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _names(path: Path) -> list[str]:
    return [file.name for file in list_files(path)]


def test_folder_is_listed_with_subfolders_in_order_of_name(tmp_path: Path) -> None:
    for name in ("b/2.png", "a/3.JPG", "1.png", "labels.csv"):
        _write_file(tmp_path / name)
    assert _names(tmp_path) == ["1.png", "a/3.JPG", "b/2.png", "labels.csv"]


def test_doubled_folder_keeps_the_stem_as_identifier(tmp_path: Path) -> None:
    _write_file(tmp_path / "images/images/1377.png")
    (file,) = list_files(tmp_path)
    assert (file.name, file.stem, file.is_image) == ("images/images/1377.png", "1377", True)


def test_single_file_gives_a_list_of_one(tmp_path: Path) -> None:
    (file,) = list_files(_write_file(tmp_path / "hand.jpeg", b"content"))
    assert (file.name, file.read()) == ("hand.jpeg", b"content")


def test_zip_is_read_without_being_unpacked(tmp_path: Path) -> None:
    path = _write_zip(tmp_path / "set.zip", {"set/": b"", "set/2.png": b"two", "set/1.png": b"one"})
    files = list_files(path)
    assert [file.name for file in files] == ["set.zip/set/1.png", "set.zip/set/2.png"]
    assert [file.read() for file in files] == [b"one", b"two"]
    assert list(tmp_path.iterdir()) == [path]


def test_zip_in_a_folder_is_looked_into(tmp_path: Path) -> None:
    _write_file(tmp_path / "labels.csv")
    _write_zip(tmp_path / "Set.ZIP", {"1.png": b"one"})
    assert _names(tmp_path) == ["Set.ZIP/1.png", "labels.csv"]


def test_hidden_files_and_resource_forks_are_left_out(tmp_path: Path) -> None:
    for name in (".DS_Store", "._1.png", ".cache/2.png", "__MACOSX/._3.png", "4.png"):
        _write_file(tmp_path / name)
    members = (".hidden.png", "a/._5.png", "__MACOSX/a/6.png", ".git/7.png", "a/8.png")
    _write_zip(tmp_path / "set.zip", dict.fromkeys(members, b"x"))
    assert _names(tmp_path) == ["4.png", "set.zip/a/8.png"]


def test_member_that_climbs_out_of_its_zip_touches_nothing_outside(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    _write_file(tmp_path / "secret.png", b"secret")
    _write_zip(inside / "set.zip", {"../../secret.png": b"harmless", "/etc/1.png": b"one"})
    before = sorted(tmp_path.rglob("*"))
    files = list_files(inside)
    assert sorted(file.read() for file in files) == [b"harmless", b"one"]
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "secret.png").read_bytes() == b"secret"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"no zip at all"])
def test_damaged_zip_is_rejected_by_name(tmp_path: Path, content: bytes) -> None:
    _write_file(tmp_path / "damaged.zip", content)
    with pytest.raises(InputDataError, match=r"damaged\.zip"):
        list_files(tmp_path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_member_is_rejected_by_name_and_others_are_read(
    tmp_path: Path, compression: int
) -> None:
    members = {"1.png": bytes(range(256)) * 40, "2.png": b"two"}
    path = _write_zip(tmp_path / "set.zip", members, compression)
    content = bytearray(path.read_bytes())
    content[60:90] = b"\xff" * 30  # within the content of 1.png
    path.write_bytes(content)
    first, second = list_files(path)
    with pytest.raises(InputDataError, match=r"set\.zip/1\.png"):
        first.read()
    assert second.read() == b"two"


def test_encrypted_member_is_rejected_by_name(tmp_path: Path) -> None:
    path = _write_zip(tmp_path / "set.zip", {"1.png": b"one"})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag of encryption in the local header,
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    path.write_bytes(content)
    with pytest.raises(InputDataError, match=r"1\.png"):
        list_files(path)[0].read()


def test_file_over_the_limit_is_rejected_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_files, "MAX_FILE_BYTES", 10)
    _write_file(tmp_path / "fits.png", b"x" * 10)
    _write_file(tmp_path / "large.png", b"x" * 11)
    _write_zip(tmp_path / "set.zip", {"bomb.png": bytes(10_000)}, zipfile.ZIP_DEFLATED)
    fits, large, bomb = list_files(tmp_path)
    assert len(fits.read()) == 10
    for file, size in ((large, "11 bytes"), (bomb, "10000 bytes")):
        with pytest.raises(InputDataError, match=size):
            file.read()


def test_member_that_lies_about_its_size_gives_no_more_than_it_says(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(5_000_000))
    content = buffer.getvalue().replace(
        (5_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little")
    )
    (file,) = list_files(_write_file(tmp_path / "set.zip", content))
    with pytest.raises(InputDataError, match=r"bomb\.png"):
        file.read()


def test_path_that_is_not_there_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="nowhere"):
        list_files(tmp_path / "nowhere")


def test_file_that_vanished_is_rejected_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match=r"gone\.png"):
        SourceFile("gone.png", str(tmp_path / "gone.png")).read()


# === Images by ending or content ===

PNG = b"\x89PNG\r\n\x1a\n and pixels"


def _images(path: Path) -> list[str]:
    return [file.name for file in radiographs_in(path)]


def test_an_image_is_known_by_its_content_or_its_ending(tmp_path: Path) -> None:
    images = {"IM1": PNG, "1.2.840": PNG, "a.dat": PNG, "b.TIF": b"", "c.jfif": b"x", "d.dcm": b"x"}
    others = {
        "labels.csv": b"id\n1\n",
        "README": b"BMI",
        "empty": b"",
        "e.pdf": b"%PDF",
        "f.json": b"{}",
    }
    for name, content in {**images, **others}.items():
        _write_file(tmp_path / name, content)
    assert _images(tmp_path) == sorted(images)
    packed = _write_zip(tmp_path / "set.zip", {**images, **others})
    assert _images(packed) == [f"set.zip/{name}" for name in sorted(images)]


def _dicom(sop_class: bytes) -> bytes:
    return (
        bytes(128)
        + b"DICM\x02\0\x01\0OB\0\0\2\0\0\0\0\1\2\0\2\0UI\x1a\0"
        + sop_class
        + b"\2\0\3\0UI"
    )


def test_of_a_medium_its_dicom_images_are_listed(tmp_path: Path) -> None:
    """As a CD from a hospital: without endings, with a viewer, beside pictures of other formats."""
    image, implicit = _dicom(b"1.2.840.10008.5.1.4.1.1.1\0"), b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100"
    images = {
        "DICOM/PAT00001/IM000001": image,
        "DICOM/PAT00001/1.2.840.113619": image,
        "DICOM/PAT00002/IM000001": implicit,
        "DICOM/PAT00002/hand.DCM": image,
        "extra/hand.png": PNG,
    }
    others = {
        "DICOMDIR": _dicom(b"1.2.840.10008.1.3.10"),
        "backup/DICOMDIR.OLD": _dicom(b"1.2.840.10008.1.3.10"),
        "autorun.inf": b"[autorun]\r\nopen=viewer.exe\r\n",
        "viewer.exe": b"MZ\x90\0\3\0\0\0",
        "lib/viewer.jar": b"PK\3\4",
        "lib/codec.dll": b"MZ\x90\0",
        "README.TXT": b"Please open index.html\r\n",
        "index.html": b"<!DOCTYPE html>",
        "LOCKFILE": b"",
    }
    for name, content in {**images, **others}.items():
        _write_file(tmp_path / "cd" / name, content)
    assert _images(tmp_path / "cd") == sorted(images)
    packed = _write_zip(tmp_path / "cd.zip", {**images, **others}, zipfile.ZIP_DEFLATED)
    assert _images(packed) == [f"cd.zip/{name}" for name in sorted(images)]


def test_a_dicomdir_that_is_given_itself_is_a_row(tmp_path: Path) -> None:
    path = _write_file(tmp_path / "DICOMDIR", _dicom(b"1.2.840.10008.1.3.10"))
    assert _images(path) == ["DICOMDIR"]


def test_a_zip_inside_a_zip_is_not_lost(tmp_path: Path) -> None:
    inner = _write_zip(tmp_path / "inner.zip", {"1.png": PNG}).read_bytes()
    outer = _write_zip(tmp_path / "outer.zip", {"inner.zip": inner, "2.png": PNG})
    assert _images(outer) == ["outer.zip/2.png", "outer.zip/inner.zip"]


@pytest.mark.parametrize(
    ("name", "identifier"),
    [("12.png", "12"), ("12.TIF", "12"), ("IM000001", "IM000001"), ("1.2.840.5", "1.2.840.5")],
)
def test_only_the_ending_of_an_image_is_no_part_of_the_identifier(
    name: str, identifier: str
) -> None:
    assert SourceFile(f"folder/{name}", "").stem == identifier


def test_what_cannot_be_opened_is_listed_unless_its_ending_is_of_something_else(
    tmp_path: Path,
) -> None:
    for name in ("IM1", "1.2.840", "notes.txt", "a.png"):
        (tmp_path / name).symlink_to(tmp_path / "gone")
    assert _images(tmp_path) == ["1.2.840", "IM1", "a.png"]


def test_links_that_lead_back_are_not_followed(tmp_path: Path) -> None:
    _write_file(tmp_path / "set/a/1.png")
    _write_file(tmp_path / "set/b/2.png")
    (tmp_path / "set/a/back").symlink_to(tmp_path / "set")
    (tmp_path / "set/b/self").symlink_to(".")
    (tmp_path / "set/c").symlink_to("c")
    assert _names(tmp_path / "set") == ["a/1.png", "b/2.png", "c"]
    (tmp_path / "linked").symlink_to(tmp_path / "set/a")
    assert _names(tmp_path / "linked") == ["1.png", "back/b/2.png", "back/c"]


def test_a_linked_folder_is_looked_into(tmp_path: Path) -> None:
    _write_file(tmp_path / "elsewhere/1.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/link").symlink_to(tmp_path / "elsewhere")
    assert _names(tmp_path / "set") == ["link/1.png"]


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    _write_file(tmp_path / "1.png")
    assert _images(tmp_path) == ["1.png"]


def test_kinds_of_files_are_counted_in_words(tmp_path: Path) -> None:
    assert kinds([]) == "0 files"
    for name in ("a.csv", "b.CSV", "c.pdf", "README"):
        _write_file(tmp_path / name)
    _write_file(tmp_path / "d.txt", b"")
    assert kinds(list_files(tmp_path)) == ("5 files: 2 .csv, 1 without an ending, 1 .pdf, 1 empty")
