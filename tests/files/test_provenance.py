import json
from pathlib import Path

import pytest

from bone_age_tf.files.provenance import PROVENANCE, read_provenance, write_provenance


def test_command_facts_and_versions_are_noted(tmp_path: Path) -> None:
    write_provenance(tmp_path, "predict", sex="F", counts={"ok": 3})
    noted = read_provenance(tmp_path)
    assert (noted["command"], noted["sex"], noted["counts"]) == ("predict", "F", {"ok": 3})
    assert {"bone_age_tf", "python", "tensorflow", "keras"} <= set(noted["versions"])
    assert [path.name for path in tmp_path.iterdir()] == [PROVENANCE] == ["provenance.json"]


@pytest.mark.parametrize("content", [None, "half a f", json.dumps(["a", "list"])])
def test_what_is_not_a_provenance_is_an_error(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / PROVENANCE).write_text(content)
    with pytest.raises((OSError, ValueError)):
        read_provenance(tmp_path)
