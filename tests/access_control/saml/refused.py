"""Why an assertion is refused, and the namespaces to look into one with."""

import pytest
from lxml import etree

from access_control.errors import AssertionRefusedError
from access_control.saml.assertions import Assertions

NS = {"ds": "http://www.w3.org/2000/09/xmldsig#", "s": "urn:oasis:names:tc:SAML:2.0:assertion"}


def refusal(assertions: Assertions, header: etree._Element, peer: bytes | None = None) -> str:
    with pytest.raises(AssertionRefusedError) as refused:
        assertions.subject(header, peer)
    return refused.value.rule
