from pathlib import Path

import pytest

from access_control.model import Purpose, Role
from access_control.saml.trust import load_trust
from hub_kernel.errors import ConfigurationError
from tests.support.certificates import Authority

GOOD = """
audiences = ["https://hub.example/xds"]
clock_skew_s = 30

[[issuers]]
entity_id = "https://idp.example"
name = "county"
certificates = ["idp.pem"]
confirmations = ["bearer", "holder-of-key"]
roles = [{ code = "112247003", system = "2.16.840.1.113883.6.96", role = "clinician" }]
purposes = [{ code = "TREATMENT", purpose = "treatment" }]
organizations = [
    { id = "urn:oid:1.2.3", sites = ["sijing"] },
    { id = "urn:oid:1.2", sites = "region" },
]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    authority = Authority(tmp_path)
    authority.issue("idp", rsa_bits=2048).certificate_file  # noqa: B018 (writes the file)
    authority.issue("weak", rsa_bits=1024).certificate_file  # noqa: B018
    (tmp_path / "rubbish.pem").write_text("rubbish")
    return tmp_path


def _written(folder: Path, text: str) -> Path:
    path = folder / "trust.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_says_whom_to_believe_and_what_words_mean(folder: Path) -> None:
    trust = load_trust(_written(folder, GOOD))
    issuer = trust.issuers["https://idp.example"]
    assert trust.audiences == {"https://hub.example/xds"}
    assert trust.clock_skew_s == 30
    assert issuer.name == "county"
    assert len(issuer.certificates) == 1
    assert issuer.roles == {("112247003", "2.16.840.1.113883.6.96"): Role.CLINICIAN}
    assert issuer.purposes == {("TREATMENT", ""): Purpose.TREATMENT}
    assert issuer.organizations == {"urn:oid:1.2.3": {"sijing"}, "urn:oid:1.2": None}
    assert issuer.default_purpose is Purpose.TREATMENT
    assert issuer.one_time


def test_a_purpose_may_be_demanded(folder: Path) -> None:
    text = GOOD.replace('name = "county"', 'name = "county"\ndefault_purpose = ""')
    issuer = load_trust(_written(folder, text)).issuers["https://idp.example"]
    assert issuer.default_purpose is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("audiences =", "audience =", "audience"),
        ('["https://hub.example/xds"]', "[]", "audiences"),
        ('role = "clinician"', 'role = "king"', "issuers.0.roles.0.role"),
        ('sites = "region"', 'sites = "world"', "issuers.0.organizations.1"),
        ('"idp.pem"', '"missing.pem"', "missing.pem"),
        ('"idp.pem"', '"rubbish.pem"', "rubbish.pem"),
        ('"idp.pem"', '"weak.pem"', "2048 bits"),
        ('"holder-of-key"', '"sender-vouches"', "confirmations"),
        ("clock_skew_s = 30", "clock_skew_s = 99999", "clock_skew_s"),
        ("clock_skew_s = 30", "clock_skew_s = [", "cannot be read"),
        ('name = "county"', 'name = "a b"', "issuers.0.name"),
        ("", GOOD[GOOD.index("[[issuers]]") :], "same entity_id"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_the_place(
    folder: Path, old: str, new: str, words: str
) -> None:
    text = GOOD.replace(old, new) if old else GOOD + new
    with pytest.raises(ConfigurationError) as refused:
        load_trust(_written(folder, text))
    assert words in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load_trust(tmp_path / "none.toml")
