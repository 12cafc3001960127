"""The affinity domain file: what ships is complete, what is wrong is named."""

import re
from pathlib import Path

import pytest
from lxml import etree

from tests.support.tools import require_conformance
from xds_registry.affinity_domain import MANIFEST_FORMAT, load_affinity_domain
from xds_registry.codes import CodeType
from xds_registry.errors import AffinityDomainError
from xds_registry.model import Code

SHIPPED = Path(__file__).parents[2] / "config" / "affinity_domain" / "region.toml"


def test_the_shipped_domain_says_what_manifests_need() -> None:
    domain = load_affinity_domain(SHIPPED)
    assert domain.manifest.class_code.code == "IMAGES"
    assert domain.facility_type("hospital").display == "Hospital"
    assert domain.facility_type("anything else") == domain.default_facility_type
    assert domain.modality("CT").display == "Computed Tomography"
    assert domain.modality("XYZ").display == "XYZ"
    assert domain.zone.utcoffset(None).total_seconds() == 8 * 3600


@pytest.mark.parametrize("written", ["CHEST", "chest", "Chest ", "CHEST_"])
def test_a_body_part_is_found_however_devices_write_it(written: str) -> None:
    found = load_affinity_domain(SHIPPED).body_part(written)
    assert found is not None
    assert found.display == "Chest"


def test_a_body_part_without_a_code_is_left_out() -> None:
    assert load_affinity_domain(SHIPPED).body_part("胸部") is None


def test_every_shipped_code_is_one_of_the_outside_affinity_domain() -> None:
    """Compared with the code file of the NIST test material, code and scheme together."""
    tree = etree.parse(str(require_conformance("nist", "environment", "codes.xml")))
    known = {
        (kind.get("name"), code.get("code"), code.get("codingScheme"))
        for kind in tree.iter("CodeType")
        for code in kind.iter("Code")
    }
    domain = load_affinity_domain(SHIPPED)
    wanted = {
        ("classCode", domain.manifest.class_code),
        ("typeCode", domain.manifest.type_code),
        ("practiceSettingCode", domain.manifest.practice_setting_code),
        ("confidentialityCode", domain.manifest.confidentiality_code),
        ("healthcareFacilityTypeCode", domain.default_facility_type),
        *(("healthcareFacilityTypeCode", code) for code in domain.facility_types.values()),
        *(("eventCodeList", code) for code in domain.body_parts.values()),
    }
    foreign = {(k, c.code) for k, c in wanted if (k, c.code, c.scheme) not in known}
    assert foreign == set()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("language_code", "language"), "language_code"),
        (('utc_offset = "+08:00"', 'utc_offset = "8"'), "utc_offset"),
        (("[manifest]", "[manifst]"), "manifest"),
        (('code = "IMAGES"', "code = 3"), "manifest.class_code.code"),
        (("[manifest]", "[manifest"), "line"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    path = tmp_path / "domain.toml"
    path.write_text(SHIPPED.read_text("utf-8").replace(*change), "utf-8")
    with pytest.raises(AffinityDomainError, match=named):
        load_affinity_domain(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AffinityDomainError, match="cannot be read"):
        load_affinity_domain(tmp_path / "none.toml")


def test_the_shipped_lists_are_complete_and_hold_what_manifests_carry() -> None:
    domain = load_affinity_domain(SHIPPED)
    assert domain.lists.missing() == []
    manifest = domain.manifest
    for kind, code in (
        (CodeType.CLASS, manifest.class_code),
        (CodeType.TYPE, manifest.type_code),
        (CodeType.PRACTICE_SETTING, manifest.practice_setting_code),
        (CodeType.CONFIDENTIALITY, manifest.confidentiality_code),
        (CodeType.CONTENT_TYPE, manifest.content_type_code),
        (CodeType.FORMAT, MANIFEST_FORMAT),
        (CodeType.FACILITY_TYPE, domain.facility_type("hospital")),
        (CodeType.EVENT, domain.modality("CT")),
        (CodeType.EVENT, Code("43799004", "2.16.840.1.113883.6.96")),
        (CodeType.TYPE, Code("C0006", "2.16.156.10011.2.4")),
    ):
        assert domain.lists.allows(kind, code)
    assert not domain.lists.allows(CodeType.CLASS, Code("IMAGES", "1.2.3"))
    assert {"application/dicom", "application/pdf", "text/xml"} <= domain.lists.mime_types


def test_a_list_without_codes_is_named(tmp_path: Path) -> None:
    text = SHIPPED.read_text("utf-8")
    for list_ in ("folderCodeList", "associationDocumentation"):
        text = re.sub(rf"\[code_lists\.{list_}\.[^[]*", "", text)
    path = tmp_path / "domain.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(AffinityDomainError, match="folderCodeList, associationDocumentation"):
        load_affinity_domain(path)


def test_a_code_that_comes_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "domain.toml"
    text = SHIPPED.read_text("utf-8")
    path.write_text(text.replace('C0006 = "', 'C0006 = "x"\nC0006 = "'), "utf-8")
    with pytest.raises(AffinityDomainError, match="line"):
        load_affinity_domain(path)


def test_a_codes_xml_is_read_by_its_name() -> None:
    path = require_conformance("nist", "environment", "codes.xml")
    domain = load_affinity_domain(path)
    assert domain.lists.missing() == []
    assert domain.version == "2024.05"
    assert domain.lists.allows(CodeType.FOLDER, Code("Referrals", "1.3.6.1.4.1.21367.2017.3"))
    assert domain.lists.allows(CodeType.CONTENT_TYPE, domain.manifest.content_type_code)
    assert "text/goofy" in domain.lists.mime_types
    assert domain.modality("MR").display
    assert domain.body_part("CHEST") == Code("43799004", "2.16.840.1.113883.6.96", "Chest")


CODE = '<Code code="{}" display="x" codingScheme="1.2"/>'


def codes_xml(*left_out: str, extra: str = "") -> str:
    """Return a file with one code for every list but those left out."""
    kinds = [kind for kind in (*CodeType, "mimeType") if kind not in left_out]
    lists = "".join(f'<CodeType name="{kind}">{CODE.format("a")}</CodeType>' for kind in kinds)
    return f"<Codes>{lists}{extra}</Codes>"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (codes_xml("typeCode", "mimeType"), "typeCode"),
        ("<Other/>", "Codes"),
        ("<Codes>", "well-formed"),
        ("<!DOCTYPE x><Codes/>", "document type"),
        (codes_xml(extra='<CodeType name="typeCode"><Code code="x"/></CodeType>'), "codingScheme"),
    ],
)
def test_a_mistake_in_a_codes_xml_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "codes.xml"
    path.write_text(text, "utf-8")
    with pytest.raises(AffinityDomainError, match=named):
        load_affinity_domain(path)


def test_a_code_twice_in_a_codes_xml_is_logged_and_kept_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "codes.xml"
    twice = f'<CodeType name="typeCode">{CODE.format("b")}{CODE.format("b")}</CodeType>'
    path.write_text(codes_xml(extra=twice), "utf-8")
    domain = load_affinity_domain(path)
    assert "typeCode b^^1.2" in caplog.text
    assert domain.lists.allows(CodeType.TYPE, Code("b", "1.2"))
