"""Check the signature of an assertion and return what was signed, and nothing else (XML Signature).

The form of the signature is checked before its value: one reference to the assertion itself, the
two transforms that SAML allows (SAML core 5.4), and algorithms from a short list. The key is the
issuer's pinned one; KeyInfo is thrown away unread.
"""

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature as KeyMismatchError
from cryptography.exceptions import UnsupportedAlgorithm
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from access_control.errors import AssertionRefusedError
from access_control.saml.names import ASSERTION, DSIG, EXCLUSIVE, SIGNATURE, dsig

SIGNATURE_METHODS = frozenset(
    {
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA384,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.SHA256_RSA_MGF1,
        SignatureMethod.SHA384_RSA_MGF1,
        SignatureMethod.SHA512_RSA_MGF1,
        SignatureMethod.ECDSA_SHA256,
        SignatureMethod.ECDSA_SHA384,
        SignatureMethod.ECDSA_SHA512,
    }
)
DIGESTS = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
_ENVELOPED = f"{DSIG}enveloped-signature"
_PREFIXES = f"{{{EXCLUSIVE}}}InclusiveNamespaces"
_METHODS = frozenset(one.value for one in SIGNATURE_METHODS)
_DIGESTS = frozenset(one.value for one in DIGESTS)


def signed_part(
    assertion: etree._Element, certificates: tuple[x509.Certificate, ...], at: datetime
) -> etree._Element:
    """Return the assertion as it was signed with the key of one of `certificates`, valid at `at`.

    `assertion` is the root of a document of its own.

    Raises:
        AssertionRefusedError: there is no signature, it has another form, or it does not hold.
    """
    signature = _the_signature(assertion)
    _require_form(signature, assertion.get("ID", ""))
    for key_info in signature.findall(dsig("KeyInfo")):
        signature.remove(key_info)
    configuration = SignatureConfiguration(
        location="./",
        expect_references=1,
        signature_methods=SIGNATURE_METHODS,
        digest_algorithms=DIGESTS,
        verification_time=at,
    )
    for certificate in certificates:
        signed = _verified(assertion, certificate, configuration)
        if signed is not None:
            if signed.tag != ASSERTION or signed.get("ID") != assertion.get("ID"):
                raise AssertionRefusedError("what is signed is not the assertion")
            return signed
    raise AssertionRefusedError("the signature does not hold")


def _verified(
    assertion: etree._Element,
    certificate: x509.Certificate,
    configuration: SignatureConfiguration,
) -> etree._Element | None:
    try:
        result = XMLVerifier().verify(
            assertion, x509_cert=certificate, id_attribute="ID", expect_config=configuration
        )
    except (
        SignXMLException,
        KeyMismatchError,
        UnsupportedAlgorithm,
        etree.DocumentInvalid,
        ValueError,
    ):
        return None
    if isinstance(result, list):
        return None
    return result.signed_xml


def _the_signature(assertion: etree._Element) -> etree._Element:
    direct = assertion.findall(SIGNATURE)
    anywhere = list(assertion.iter(SIGNATURE))
    if not anywhere:
        raise AssertionRefusedError("unsigned")
    if len(direct) != 1 or len(anywhere) != 1:
        raise AssertionRefusedError("the signature is not the assertion's own")
    return direct[0]


def _require_form(signature: etree._Element, own_id: str) -> None:
    if [child.tag for child in signature if child.tag != dsig("KeyInfo")] != [
        dsig("SignedInfo"),
        dsig("SignatureValue"),
    ]:
        raise AssertionRefusedError("the signature holds more than a signature")
    info = signature.find(dsig("SignedInfo"))
    assert info is not None  # noqa: S101 (checked a line above; told to mypy)
    if [child.tag for child in info] != [
        dsig("CanonicalizationMethod"),
        dsig("SignatureMethod"),
        dsig("Reference"),
    ]:
        raise AssertionRefusedError("not exactly one reference")
    canonicalization, method, reference = info
    _require_algorithm(canonicalization, frozenset({EXCLUSIVE}), "canonicalization")
    _require_algorithm(method, _METHODS, "signature method")
    _require_reference(reference, own_id)


def _require_reference(reference: etree._Element, own_id: str) -> None:
    if reference.get("URI") != f"#{own_id}":
        raise AssertionRefusedError("the reference is not to the assertion")
    if [child.tag for child in reference] != [
        dsig("Transforms"),
        dsig("DigestMethod"),
        dsig("DigestValue"),
    ]:
        raise AssertionRefusedError("the reference has another form")
    transforms, digest, _value = reference
    if [one.get("Algorithm") for one in transforms] != [_ENVELOPED, EXCLUSIVE]:
        raise AssertionRefusedError("transforms that SAML does not allow")
    for transform in transforms:
        _require_algorithm(transform, frozenset({_ENVELOPED, EXCLUSIVE}), "transform")
    _require_algorithm(digest, _DIGESTS, "digest")


def _require_algorithm(element: etree._Element, allowed: frozenset[str], what: str) -> None:
    if element.get("Algorithm") not in allowed:
        raise AssertionRefusedError(f"{what} that is not accepted")
    if any(child.tag != _PREFIXES for child in element):
        raise AssertionRefusedError(f"{what} with parameters")
