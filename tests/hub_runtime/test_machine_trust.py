"""Who speaks through a SOAP door is asked for a token once, unless an assertion came with it."""

import pytest
from lxml import etree

from access_control.model import ANONYMOUS, Subject, SubjectKind
from access_control.saml.names import SECURITY
from hub_runtime.machine_authentication import Environ
from hub_runtime.machine_trust import vouching

MACHINE = Subject(SubjectKind.MACHINE, "known", "known")
PLAIN = etree.Element("Header")
SIGNED = etree.Element("Header")
etree.SubElement(SIGNED, SECURITY)


@pytest.mark.parametrize(
    ("header", "known", "found"),
    [
        (PLAIN, MACHINE, MACHINE),
        (None, MACHINE, MACHINE),
        (SIGNED, MACHINE, ANONYMOUS),
        (PLAIN, None, ANONYMOUS),
        (SIGNED, None, ANONYMOUS),
    ],
)
def test_all_that_is_shown_is_judged_again_only_with_more_to_judge(
    header: etree._Element | None, known: Subject | None, found: Subject
) -> None:
    def authenticate(_environ: Environ, _header: etree._Element | None = None) -> Subject:
        return ANONYMOUS

    assert vouching(authenticate)(header, {}, known) is found
