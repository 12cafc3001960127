import json
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.serving_hub import eirhub


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_certificate_is_bound_listed_and_revoked(data: Path, tmp_path: Path) -> None:
    pem = Authority(tmp_path).issue("pacs").certificate_file
    made = eirhub("certificate", "bind", "pacs", pem, "--role", "clinician", "--json", data=data)
    assert made.returncode == 0, made.stderr
    bound = json.loads(made.stdout)
    assert (bound["name"], bound["roles"], bound["revoked"]) == ("pacs", ["clinician"], False)
    assert eirhub("certificate", "revoke", bound["id"], data=data).returncode == 0
    (listed,) = json.loads(eirhub("certificate", "list", "--json", data=data).stdout)
    assert (listed["fingerprint"], listed["revoked"]) == (bound["fingerprint"], True)


def test_what_is_no_certificate_is_refused_in_words(data: Path, tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("rubbish")
    refused = eirhub(
        "certificate", "bind", "pacs", tmp_path / "x.pem", "--role", "clinician", data=data
    )
    assert refused.returncode == 1
    assert "a certificate in PEM is needed" in refused.stderr
