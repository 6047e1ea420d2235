import hashlib
import sys
from pathlib import Path

import pytest
from conftest import write_kaggle_layout

from bone_age_tf.config import PrepareConfig, PreprocessingConfig
from bone_age_tf.data_prep.beam_runner import beam_runner
from bone_age_tf.data_prep.prepare import Runner, prepare
from bone_age_tf.errors import UsageError


def test_without_beam_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam", None)  # as if it were not installed
    with pytest.raises(UsageError, match=r"bone-age-tf\[beam\]"):
        beam_runner([])


@pytest.mark.filterwarnings("ignore")  # Beam's own
def test_beam_writes_the_same_bytes_as_the_local_runner(tmp_path: Path) -> None:
    pytest.importorskip("apache_beam", reason="Apache Beam (the extra `beam`) is not installed")
    raw = write_kaggle_layout(tmp_path / "raw", 10)
    runners: dict[str, Runner | None] = {
        "local": None,
        "beam": beam_runner(["--runner=DirectRunner", "--direct_num_workers=1"]),
    }
    digests = []
    for name, runner in runners.items():
        config = PrepareConfig(
            source=str(raw),
            output=str(tmp_path / name),
            preprocessing=PreprocessingConfig(scale=0.05),
            shards=3,
        )
        prepare(config, runner=runner)
        digests.append(
            {
                path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                for path in (tmp_path / name).iterdir()
            }
        )
    assert digests[0] == digests[1]
    assert sum("tfrecord" in name for name in digests[0]) >= 3
