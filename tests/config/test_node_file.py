from pathlib import Path
from typing import Any

import pytest

from bone_age_tf.config import DicomOutputConfig, NodeConfig, StoreDestination, WebDestination
from bone_age_tf.config.node_file import read_node_file
from bone_age_tf.errors import UsageError

NODE = '[node]\nae_title = "BONEAGE"\nspool = "spool"\ncalling_ae_titles = ["CR1"]\n'
PACS = '[[destination]]\nname = "pacs"\nhost = "10.0.0.7"\nport = 104\nae_title = "PACS"\n'
WEB = '[[destination]]\nname = "web"\nurl = "https://archive/dicom-web"\n'
RULE = '[[rule]]\nmodality = ["DX", "CR"]\ndestinations = ["pacs"]\n'
TLS = '[tls]\ncertificate = "node.pem"\nkey = "node.key"\n'


def read(folder: Path, text: str) -> NodeConfig:
    path = folder / "node.toml"
    path.write_text(text, encoding="utf-8")
    return read_node_file(path)


def test_the_least_that_a_file_holds(tmp_path: Path) -> None:
    config = read(tmp_path, NODE + PACS + RULE)
    assert config.node.host == "127.0.0.1"
    assert config.node.spool == str(tmp_path / "spool")
    assert config.node.model == "shipped"
    assert config.tls is None
    assert config.output == DicomOutputConfig()
    assert config.destinations == (
        StoreDestination(name="pacs", host="10.0.0.7", port=104, ae_title="PACS"),
    )
    assert config.rules[0].modality == ("DX", "CR")
    assert config.rules[0].body_part == ("*",)


def test_all_sections(tmp_path: Path) -> None:
    output = '[output]\nobjects = ["report"]\nsr = "comprehensive"\nuid_root = "1.2.3"\n'
    tls = TLS + f'ca = "{tmp_path}/ca.pem"\n'
    secure = PACS + "tls = true\nstorage_commitment = true\n"
    ignored = '[[rule]]\nname = "chests"\nbody_part = "CHEST*"\ndestinations = []\n'
    both = '[[rule]]\ndestinations = ["pacs", "web"]\nobjects = ["report", "segmentation"]\n'
    node = NODE.replace('["CR1"]', '["CR1", "PACS"]')
    config = read(tmp_path, node + tls + output + secure + WEB + ignored + both)
    assert config.tls is not None
    assert config.tls.certificate == str(tmp_path / "node.pem")
    assert config.output == DicomOutputConfig(("report",), "comprehensive", "1.2.3")
    assert [type(one) for one in config.destinations] == [StoreDestination, WebDestination]
    assert [rule.body_part for rule in config.rules] == [("CHEST*",), ("*",)]
    assert config.rules[1].objects == ("report", "segmentation")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"node.toml: expected a section \[node\]. Received none"),
        ("[node]\nport 3\n", r"node.toml: expected TOML in UTF-8. Received something else \(.*line 2"),
        (NODE + "[nodes]\n", r"node.toml: there is no section or setting nodes at the top"),
        ("[[node]]\n", r"node.toml: expected one section \[node\]. Received: \[{}\]"),
        (NODE + "prot = 1\n", r"node.toml, \[node\]: there is no setting prot. Expected: ae_title, "),
        (NODE + "port = 70000\n", r"\[node\]: port must be less than or equal to 65535. Received: 70000"),
        (NODE + 'port = "104"\n', r"\[node\]: port must be a valid integer. Received: '104'"),
        (NODE + "quiet_seconds = inf\n", r"\[node\]: quiet_seconds must be a finite number"),
        (NODE + "port = 2026-01-31\n", r"\[node\]: port must be a valid integer. Received: '2026-01-31'"),
        ('[node]\nspool = "s"\n', r"\[node\]: ae_title must be given"),
        (NODE.replace("BONEAGE", "BONE\\\\AGE"), r"\[node\]: ae_title must be 1 to 16 ASCII characters"),
        (NODE.replace("BONEAGE", "SEVENTEEN LETTERS"), r"\[node\]: ae_title must be 1 to 16"),
        (NODE.replace('["CR1"]', "[]"), r"\[node\]: calling_ae_titles must be the AE titles that may send, or else "
         "accept_any = true. Received: 'neither'"),
        (NODE + "accept_any = true\n", r"\[node\]: calling_ae_titles must be .* Received: 'both'"),
        (NODE + TLS, r"\[tls\]: ca must be the authority of the senders' certificates, or else require_client"),
        (NODE + PACS + PACS + RULE, r"node.toml: the names of \[\[destination\]\] must be different. Received: 'pacs'"),
        (NODE + PACS, r"node.toml: \[\[rule\]\] must be given: nothing leaves"),
        (NODE + WEB + RULE, r"\[\[rule\]\] 1: destinations must be names of \[\[destination\]\]: web. Received: 'pacs'"),
        (NODE + PACS + '[[rule]]\nmodality = "DX"\n', r"node.toml, \[\[rule\]\] 1: destinations must be given"),
        (NODE + PACS + RULE + "body = 1\n", r"\[\[rule\]\] 1: there is no setting body. Expected: destinations"),
        (NODE + PACS + RULE + RULE + 'objects = ["sr"]\n', r"\[\[rule\]\] 2: objects must be 'report', 'pict"),
        (NODE + "[rule]\n", r"node.toml: expected sections \[\[rule\]\], in double brackets. Received: {}"),
        (NODE + PACS + "tls = true\n" + RULE, r"node.toml: \[tls\] must be given where a destination has tls = true"),
        (NODE + PACS + "storage_commitment = true\n" + RULE, "calling_ae_titles must be a list with PACS in it: its storage"),
        (NODE + PACS.replace("pacs", "the pacs") + RULE, r"\[\[destination\]\] 1: name must be 1 to 40 letters"),
        (NODE + PACS.replace("port = 104\n", "") + RULE, r"\[\[destination\]\] 1: port must be given"),
        (NODE + WEB + "port = 1\n", r"\[\[destination\]\] 1: there is no setting port. Expected: name.*"
         "A destination with a url is a DICOMweb server"),
        (NODE + WEB.replace("https://archive", "archive"), r"\[\[destination\]\] 1: url must be http://HOST"),
        (NODE + WEB + 'token_variable = "abc def"\n', r"must be the name of an environment variable.*'something else'"),
        (NODE + WEB + 'user_variable = "A"\n', "user_variable must be given with password_variable"),
        (NODE + WEB.replace("https", "http") + 'token_variable = "A"\n', "url must be https:// where a token"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_an_error_that_names_section_and_setting(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text)


def test_a_password_in_a_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without user and password") as error:
        read(tmp_path, NODE + WEB.replace("archive/", "me:secret@archive/") + RULE)
    assert "secret" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"node.toml: cannot be read \(No such file"):
        read_node_file(tmp_path / "node.toml")


def test_no_secret_has_a_setting() -> None:
    def names(kind: Any) -> list[str]:
        return [name for name in kind.__dataclass_fields__ if "token" in name or "pass" in name]

    assert all(name.endswith("_variable") for name in names(WebDestination))
