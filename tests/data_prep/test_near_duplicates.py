import csv
import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import draw_phantom, encode

from bone_age_tf.config import PrepareConfig, PreprocessingConfig
from bone_age_tf.data.labels import LabelRow
from bone_age_tf.data_prep import checks
from bone_age_tf.data_prep import near_duplicates as module
from bone_age_tf.data_prep.near_duplicates import (
    MAX_DISTANCE,
    Pair,
    difference_hash,
    kept_together,
    near_duplicates,
    warnings_of,
)
from bone_age_tf.data_prep.prepare import prepare
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.files.images import SourceFile
from bone_age_tf.sex import Sex

HANDS = [draw_phantom(age, age) for age in (30, 70, 110, 150, 190)]


def brighter(hand: np.ndarray) -> np.ndarray:
    return np.clip(hand * 1.2 + 10, 0, 255).astype(np.uint8)


def copies(hand: np.ndarray) -> list[bytes]:
    """The same radiograph as JPEG, at half the size, brighter, with 16 bits."""
    half = cv2.resize(hand, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    deep = hand.astype(np.uint16) * 257
    return [encode(hand, ".jpg"), encode(half), encode(brighter(hand)), encode(deep)]


def distance(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


@pytest.mark.parametrize("hand", HANDS)
def test_copies_differ_in_few_bits(hand: np.ndarray) -> None:
    whole = difference_hash(encode(hand))
    assert len(whole) == 32
    for copy in copies(hand):
        assert distance(whole, difference_hash(copy)) <= MAX_DISTANCE


def test_different_hands_differ_in_many() -> None:
    hashes = [difference_hash(encode(hand)) for hand in HANDS]
    apart = [distance(one, two) for n, one in enumerate(hashes) for two in hashes[:n]]
    assert min(apart) > 2 * MAX_DISTANCE


@pytest.mark.parametrize("encoded", [b"no picture", encode(np.full((90, 70), 9, np.uint8))])
def test_what_shows_nothing_has_no_hash(encoded: bytes) -> None:
    assert difference_hash(encoded) == b""


# === Rows ===


def row(name: str, code: int, group: str = "") -> CheckedRow:
    """A row whose hash is that number."""
    label = LabelRow(name, Sex.F, 100.0, "ages.csv", 2, group)
    hashed = (code + (1 << 255)).to_bytes(32)
    return CheckedRow(label, SourceFile(f"{name}.png", ""), None, name, difference_hash=hashed)


FAR = (1 << 40) - 1
NEAR = (1 << MAX_DISTANCE) - 1


def pairs_of(rows: list[CheckedRow]) -> set[tuple[str, str, int]]:
    return {(p.first.id, p.second.id, p.distance) for p in near_duplicates(rows)}


def test_pairs_within_the_limit_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row("a", 0), row("b", FAR), row("c", NEAR), row("d", 2 * NEAR + 1), row("e", FAR - 1)]
    expected = {("a", "c", MAX_DISTANCE), ("b", "e", 1), ("c", "d", 1)}
    assert pairs_of(rows) == expected
    monkeypatch.setattr(module, "_BLOCK", 2)
    assert pairs_of(rows) == expected
    rows[0] = dataclasses.replace(rows[0], difference_hash=b"")
    assert pairs_of(rows) == expected - {("a", "c", MAX_DISTANCE)}


def test_very_many_are_not_compared_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "1.png"
    file.write_bytes(encode(HANDS[0]))
    source = SourceFile("1.png", str(file))
    for limit, length in ((1, 32), (0, 0)):
        monkeypatch.setattr(checks, "MAX_COMPARED", limit)
        content = checks._read_files([source], False, 1, None)[source]
        assert isinstance(content, checks.Content)
        assert len(content.difference_hash) == length
    monkeypatch.setattr(module, "MAX_COMPARED", 1)
    (line,) = warnings_of([row("a", 0), row("b", FAR)], [], {})
    assert "not searched for" in line


def groups(rows: list[CheckedRow]) -> dict[str, str]:
    return {r.id: r.label.group for r in kept_together(rows, near_duplicates(rows))}


def test_pairs_and_their_patients_are_one_group() -> None:
    rows = [row("a", 0), row("b", 1), row("c", FAR, "p"), row("d", FAR << 60, "p"), row("e", FAR)]
    rows += [row("f", FAR << 100, "q"), row("g", (FAR << 100) + 1, "r"), row("h", FAR << 150, "s")]
    named = "near-duplicates of a"
    assert groups(rows) == {
        **{"a": named, "b": named},
        **{"c": "p", "d": "p", "e": "p"},
        **{"f": "q+r", "g": "q+r", "h": "s"},
    }


def test_without_pairs_groups_stay_as_they_are() -> None:
    assert groups([row("a", 0), row("b", FAR, "p")]) == {"a": "", "b": "p"}


def test_pairs_in_two_splits_are_told() -> None:
    pair = Pair(row("a", 0), row("b", 1), 1)
    (kept,) = warnings_of([], [pair], {"a": "train", "b": "train"})
    assert kept.startswith("1 pair of radiographs looks the same")
    _, apart = warnings_of([], [pair, pair], {"a": "train", "b": "test"})
    assert "2 pairs of radiographs look the same in two splits" in apart
    assert "a and b" in apart


# === prepare ===


def test_prepare_keeps_them_in_one_split_and_lists_them(tmp_path: Path) -> None:
    source = tmp_path / "raw"
    source.mkdir()
    lines = ["file,sex,boneage"]
    for number, hand in enumerate(HANDS):
        (source / f"{number}.png").write_bytes(encode(hand))
        (source / f"{number}b.png").write_bytes(encode(brighter(hand)))
        lines += [f"{number}.png,F,{30 + 40 * number}", f"{number}b.png,F,{200 - 40 * number}"]
    (source / "ages.csv").write_text("\n".join(lines))
    config = PrepareConfig(
        source=str(source),
        output=str(tmp_path / "out"),
        preprocessing=PreprocessingConfig(method="letterbox", scale=0.05),
        split={"train": 0.5, "test": 0.5},
    )
    report = prepare(config)
    (warning,) = [line for line in report.warnings if "near-duplicates" in line]
    assert warning.startswith("5 pairs of radiographs look the same")
    with (tmp_path / "out/splits.csv").open(newline="") as stream:
        split_of = {line["id"]: line["split"] for line in csv.DictReader(stream)}
    with (tmp_path / "out/near_duplicates.csv").open(newline="") as stream:
        listed = [(line["id"], line["other_id"]) for line in csv.DictReader(stream)]
    assert sorted(tuple(sorted(pair)) for pair in listed) == [(f"{n}", f"{n}b") for n in range(5)]
    assert set(split_of.values()) == {"train", "test"}
    assert all(split_of[one] == split_of[other] for one, other in listed)
