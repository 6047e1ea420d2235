"""What docs/hospital.md promises is what the code has."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="the extra [dicom-output] is not installed")
from conftest import ROOT

from bone_age_tf.config import (
    DICOM_OBJECTS,
    DicomOutputConfig,
    NodeSection,
    Rule,
    StoreDestination,
    TlsSection,
    WebDestination,
)
from bone_age_tf.config.node_file import read_node_file
from bone_age_tf.dicom_output import codes, refusals
from bone_age_tf.dicom_output.codes import Concept
from bone_age_tf.dicom_output.identifiers import uid_of
from bone_age_tf.dicom_output.node.audit import EVENTS

PAGE = (ROOT / "docs/hospital.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "deploy/dicom-node/node.toml"
SECTIONS = (
    NodeSection,
    DicomOutputConfig,
    TlsSection,
    StoreDestination,
    WebDestination,
    Rule,
)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda kind: kind.__name__)
def test_every_setting_is_explained(section: Any) -> None:
    names = [field.name for field in dataclasses.fields(section)]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("section", SECTIONS, ids=lambda kind: kind.__name__)
def test_defaults_are_those_of_the_table(section: Any) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", PAGE, re.MULTILINE))
    for field in dataclasses.fields(section):
        if isinstance(field.default, bool | int | float) and field.name in rows:
            assert rows[field.name] == str(field.default).lower()


def test_every_event_of_the_audit_is_explained() -> None:
    assert [event for event in EVENTS if f"`{event}`" not in PAGE] == []


def test_every_code_is_in_the_statement() -> None:
    modules = (vars(codes), vars(refusals))
    found = [
        concept
        for names in modules
        for value in names.values()
        for concept in (value.values() if isinstance(value, dict) else [value])
        if isinstance(concept, Concept)
    ]
    assert len(found) > 20
    missing = [concept for concept in found if not re.search(rf"\b{concept.value}\b", PAGE)]
    assert missing == []


def test_the_implementation_class_uid_is_in_the_statement() -> None:
    assert uid_of("implementation", uid_root=None) in PAGE


def test_every_kind_of_object_is_in_the_statement() -> None:
    assert [kind for kind in DICOM_OBJECTS if f"`{kind}`" not in PAGE] == []


def test_the_example_is_read(tmp_path: Path) -> None:
    config = read_node_file(EXAMPLE)
    assert config.rules[0].destinations == ("archive",)
    assert config.tls is None


def test_what_the_example_leaves_out_is_read_too(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    whole = re.sub(r"^# (?=\w+ = |\[)", "", text, flags=re.MULTILINE)
    (tmp_path / "node.toml").write_text(whole, encoding="utf-8")
    config = read_node_file(tmp_path / "node.toml")
    assert [one.name for one in config.destinations] == ["archive", "web"]
    assert [rule.name for rule in config.rules] == ["hands", "chests"]
    assert config.tls is not None
    assert config.output.sr == "comprehensive"
