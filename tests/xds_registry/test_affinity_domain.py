"""The affinity domain file: what ships is complete, what is wrong is named."""

from pathlib import Path

import pytest
from lxml import etree

from tests.support.tools import require_conformance
from xds_registry.affinity_domain import load_affinity_domain
from xds_registry.errors import AffinityDomainError

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
