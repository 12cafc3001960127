"""Which signatures of an assertion hold: algorithms, keys, references, and what was changed."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod

from access_control.saml.assertions import Assertions
from hub_kernel.database import Database
from tests.access_control.saml.refused import NS, refusal
from tests.support.assertions import (
    Provider,
    Signing,
    Wanted,
    assertion,
    envelope,
    header_of,
    signed,
)
from tests.support.certificates import Authority, Certified
from tests.support.clock import FixedClock
from tests.support.tools import require_tool


@pytest.mark.parametrize(
    "method",
    [
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.SHA256_RSA_MGF1,
    ],
)
def test_strong_rsa_signatures_hold(
    assertions: Assertions, provider: Provider, wanted: Wanted, method: SignatureMethod
) -> None:
    assert assertions.subject(provider.header(wanted, Signing(method, DigestAlgorithm.SHA512)))


def test_elliptic_signatures_hold(
    database: Database, clock: FixedClock, authority: Authority, wanted: Wanted
) -> None:
    provider = Provider(authority.issue("elliptic", days=(-9000, 9000)))
    header = provider.header(wanted, Signing(SignatureMethod.ECDSA_SHA256))
    assert Assertions(database, clock, provider.trust).subject(header)


def test_a_second_certificate_of_the_issuer_holds_while_keys_change(
    database: Database, clock: FixedClock, authority: Authority, idp: Certified, wanted: Wanted
) -> None:
    new = authority.issue("new", rsa_bits=2048, days=(-9000, 9000))
    both = Provider(idp, trust_changes={"certificates": (idp.certificate, new.certificate)})
    assert Assertions(database, clock, both.trust).subject(Provider(new).header(wanted))


def test_an_assertion_signed_by_another_implementation_holds(
    assertions: Assertions, idp: Certified, wanted: Wanted, tmp_path: Path
) -> None:
    template = f"""<ds:Signature xmlns:ds="{NS["ds"]}"><ds:SignedInfo>
      <ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>
      <ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>
      <ds:Reference URI="#_a1"><ds:Transforms>
        <ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>
        <ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#">
          <c:InclusiveNamespaces xmlns:c="http://www.w3.org/2001/10/xml-exc-c14n#"
            PrefixList="saml s"/></ds:Transform></ds:Transforms>
        <ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>
        <ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/>
      <ds:KeyInfo><ds:X509Data/></ds:KeyInfo></ds:Signature>"""
    unsigned = assertion(wanted)
    unsigned.insert(1, etree.fromstring(template))
    (tmp_path / "in.xml").write_bytes(envelope(unsigned))
    subprocess.run(
        [
            require_tool("xmlsec1"),
            "--sign",
            "--privkey-pem",
            f"{idp.key_file},{idp.certificate_file}",
            "--id-attr:ID",
            f"{NS['s']}:Assertion",
            "--output",
            str(tmp_path / "out.xml"),
            str(tmp_path / "in.xml"),
        ],
        check=True,
        capture_output=True,
    )
    header = header_of((tmp_path / "out.xml").read_bytes())
    assert assertions.subject(header).subject_id == "li.ming@idp"


@pytest.mark.parametrize(
    ("how", "rule"),
    [
        (Signing(method=SignatureMethod.RSA_SHA1), "signature method that is not accepted"),
        (Signing(digest=DigestAlgorithm.SHA1), "digest that is not accepted"),
        (
            Signing(canonicalization=CanonicalizationMethod.CANONICAL_XML_1_1),
            "canonicalization that is not accepted",
        ),
        (
            Signing(
                canonicalization=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0_WITH_COMMENTS
            ),
            "canonicalization that is not accepted",
        ),
    ],
    ids=["sha1-signature", "sha1-digest", "inclusive", "with-comments"],
)
def test_weak_and_unusual_algorithms_are_refused(
    assertions: Assertions, provider: Provider, wanted: Wanted, how: Signing, rule: str
) -> None:
    assert refusal(assertions, provider.header(wanted, how)) == rule


def test_the_public_key_is_no_shared_secret(
    assertions: Assertions, idp: Certified, wanted: Wanted
) -> None:
    forged = signed(assertion(wanted), idp, Signing(SignatureMethod.HMAC_SHA256), key=idp.pem)
    header = header_of(envelope(forged))
    assert refusal(assertions, header) == "signature method that is not accepted"


@pytest.mark.parametrize("algorithm", ["", "none", "http://www.w3.org/2000/09/xmldsig#none"])
def test_no_algorithm_is_no_signature(
    assertions: Assertions, idp: Certified, wanted: Wanted, algorithm: str
) -> None:
    forged = signed(assertion(wanted), idp)
    method = forged.find(".//ds:SignatureMethod", NS)
    assert method is not None
    method.set("Algorithm", algorithm)
    header = header_of(envelope(forged))
    assert refusal(assertions, header) == "signature method that is not accepted"


def test_an_unsigned_assertion_is_refused(assertions: Assertions, wanted: Wanted) -> None:
    assert refusal(assertions, header_of(envelope(assertion(wanted)))) == (
        "not exactly one signature"
    )


def test_the_key_that_counts_is_the_issuers_and_not_the_one_inside(
    assertions: Assertions, authority: Authority, wanted: Wanted
) -> None:
    stranger = authority.issue("stranger", rsa_bits=2048, days=(-9000, 9000))
    forged = signed(assertion(wanted), stranger)
    assert forged.find(".//ds:X509Certificate", NS) is not None
    assert refusal(assertions, header_of(envelope(forged))) == "the signature does not hold"


def test_one_trusted_issuer_cannot_speak_for_another(
    database: Database, clock: FixedClock, authority: Authority, idp: Certified, wanted: Wanted
) -> None:
    other = Provider(
        authority.issue("other", rsa_bits=2048, days=(-9000, 9000)), "https://other.test"
    )
    honest = Provider(idp)
    trust = replace(honest.trust, issuers={**honest.trust.issuers, **other.trust.issuers})
    assertions = Assertions(database, clock, trust)
    assert refusal(assertions, other.header(wanted)) == "the signature does not hold"
    assert assertions.subject(other.header(replace(wanted, issuer="https://other.test")))


def test_an_issuers_certificate_past_its_end_counts_no_more(
    database: Database, clock: FixedClock, authority: Authority, wanted: Wanted
) -> None:
    provider = Provider(authority.issue("old", rsa_bits=2048, days=(-9000, -8999)))
    assertions = Assertions(database, clock, provider.trust)
    assert refusal(assertions, provider.header(wanted)) == "the signature does not hold"


@pytest.mark.parametrize(
    "path",
    [".//s:NameID", ".//s:Audience", ".//s:Issuer", ".//s:AttributeValue", ".//s:Conditions"],
)
def test_whatever_is_changed_after_signing_breaks_it(
    assertions: Assertions, idp: Certified, wanted: Wanted, path: str
) -> None:
    forged = signed(assertion(wanted), idp)
    element = forged.find(path, NS)
    assert element is not None
    element.set("x", "y")
    assert refusal(assertions, header_of(envelope(forged))) == "the signature does not hold"


@pytest.mark.parametrize(
    ("path", "attribute"),
    [
        (".//ds:Signature", "<ds:Object xmlns:ds='{ds}'/>"),
        (".//ds:SignedInfo", "<ds:Reference xmlns:ds='{ds}' URI=''/>"),
        (".//ds:Transforms", "<ds:Transform xmlns:ds='{ds}' Algorithm='{ds}base64'/>"),
        (".//ds:SignatureMethod", "<ds:HMACOutputLength xmlns:ds='{ds}'>8</ds:HMACOutputLength>"),
        (".//ds:Transform", "<ds:XPath xmlns:ds='{ds}'>self::text()</ds:XPath>"),
    ],
)
def test_a_signature_of_another_form_is_not_even_computed(
    assertions: Assertions, idp: Certified, wanted: Wanted, path: str, attribute: str
) -> None:
    forged = signed(assertion(wanted), idp)
    element = forged.find(path, NS)
    assert element is not None
    element.append(etree.fromstring(attribute.format(**NS)))
    assert refusal(assertions, header_of(envelope(forged))) != "the signature does not hold"


@pytest.mark.parametrize("uri", ["", "#", "#_other", "http://evil.test/x", "file:///etc/passwd"])
def test_a_reference_to_anything_else_is_refused(
    assertions: Assertions, idp: Certified, wanted: Wanted, uri: str
) -> None:
    forged = signed(assertion(wanted), idp)
    reference = forged.find(".//ds:Reference", NS)
    assert reference is not None
    reference.set("URI", uri)
    header = header_of(envelope(forged))
    assert refusal(assertions, header) == "the reference is not to the assertion"
