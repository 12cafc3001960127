"""Reports as CDA: what the standard asks of them, and what it would find."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from lxml import etree

from tests.xds_registry.cda_structure import CDA, findings
from tests.xds_registry.samples import entry
from xds_registry.model import Author, Code
from xds_registry.report_cda import TextReport, write_cda

PATIENT = ("PID-3|L-1^^^&1.2.3&ISO", "PID-5|王^小东", "PID-7|19600506", "PID-8|M")
AUTHOR = Author(institutions=("泗泾医院^^^^^^^^^1.2.3",))
ENTRY = entry("report", title="胸部CT报告", source_patient_info=PATIENT, authors=(AUTHOR,))
WHOLE = TextReport(
    ENTRY, "李医师", (("影像所见", "双肺清晰\n<未见>结节"), ("", "续"), ("诊断", "无"))
)


@pytest.mark.parametrize(
    "report",
    [
        WHOLE,
        replace(WHOLE, author=""),
        replace(WHOLE, paragraphs=()),
        replace(WHOLE, paragraphs=(("", "no heading\x0b"),)),
        replace(WHOLE, entry=replace(ENTRY, title="")),
        replace(WHOLE, entry=replace(ENTRY, authors=(), source_patient_info=())),
        replace(WHOLE, entry=replace(ENTRY, source_patient_info=("PID-5|王", "PID-8|O"))),
        replace(WHOLE, entry=replace(ENTRY, type_code=Code("18748-4", "2.16.840.1.113883.6.1"))),
    ],
    ids=["whole", "unsigned", "nothing-said", "no-heading", "no-title", "nobody", "one-name",
         "no-words-for-its-kind"],
)  # fmt: skip
def test_every_report_is_as_the_standard_asks(report: TextReport) -> None:
    assert findings(write_cda(report)) == []


def element(root: etree._Element, path: str) -> etree._Element:
    found = root.find("/".join(f"{{{CDA}}}{step}" for step in path.split("/")))
    assert found is not None, path
    return found


def without(path: str) -> Callable[[etree._Element], None]:
    def take(root: etree._Element) -> None:
        gone = element(root, path)
        parent = gone.getparent()
        assert parent is not None
        parent.remove(gone)

    return take


def saying(path: str, name: str, value: str) -> Callable[[etree._Element], None]:
    return lambda root: element(root, path).set(name, value)


def custodian_first(root: etree._Element) -> None:
    root.insert(0, element(root, "custodian"))


def text_in_the_body(root: etree._Element) -> None:
    element(root, "component/structuredBody").text = "loose"


def another_element(root: etree._Element) -> None:
    etree.SubElement(element(root, "author"), f"{{{CDA}}}invented")


BODY = "component/structuredBody/component"


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        *((without(one), ".: wrong children") for one in (
            "typeId", "id", "code", "effectiveTime", "confidentialityCode", "recordTarget",
            "author", "custodian", "component",
        )),
        (without("recordTarget/patientRole/id"), "patientRole: wrong children"),
        (without("author/time"), "author: wrong children"),
        (without("legalAuthenticator/signatureCode"), "legalAuthenticator: wrong children"),
        (without(f"{BODY}/section"), "component"),
        (saying("id", "root", "urn:oid:1.2.3"), "id: wrong attribute root"),
        (saying("typeId", "extension", "POCD_HD000020"), "typeId: wrong attribute extension"),
        (saying("code", "codeSystem", ""), "code: wrong attribute codeSystem"),
        (saying("code", "displayName", ""), "code: wrong attribute displayName"),
        (saying("effectiveTime", "value", "2026-11-21"), "effectiveTime: wrong attribute value"),
        (saying("title", "code", "1"), "title: wrong attribute code"),
        (custodian_first, "wrong children: custodian typeId"),
        (text_in_the_body, "structuredBody: text where none may stand"),
        (another_element, "invented: not an element"),
    ],
)  # fmt: skip
def test_what_breaks_the_standard_is_found(
    spoil: Callable[[etree._Element], None], named: str
) -> None:
    root = etree.fromstring(write_cda(WHOLE))
    spoil(root)
    found = "\n".join(findings(etree.tostring(root))).replace(f"{{{CDA}}}", "")
    assert named in found
