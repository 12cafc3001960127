"""Which presentation contexts are accepted, and in which transfer syntax."""

import pytest

from dicom_router.association_request import parse_association_request
from dicom_router.items import role_item
from dicom_router.presentation import STORAGE_COMMITMENT_PUSH_MODEL as PUSH_MODEL
from dicom_router.presentation import (
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    VERIFICATION,
    ContextOutcome,
    NegotiatedContext,
    Offer,
    standard_storage_sop_classes,
)
from tests.dicom_router.wire import CT, EXPLICIT, IMPLICIT, RequestParts, context_item

BIG_ENDIAN = "1.2.840.10008.1.2.2"
OFFER = Offer(standard_storage_sop_classes())
# Of CT and XA; they name patient and study, unlike the other protocols.
PERFORMED_PROTOCOLS = {"1.2.840.10008.5.1.4.1.1.200.2", "1.2.840.10008.5.1.4.1.1.200.8"}


def _negotiate(abstract: str, transfer: list[str], offer: Offer = OFFER) -> NegotiatedContext:
    parts = RequestParts(contexts=[context_item(1, abstract, transfer)])
    return offer.negotiate(parse_association_request(parts.encode()))[0]


@pytest.mark.parametrize(
    "syntax",
    [
        IMPLICIT,
        EXPLICIT,
        BIG_ENDIAN,
        "1.2.840.10008.1.2.1.99",  # deflated
        "1.2.840.10008.1.2.4.50",  # JPEG baseline
        "1.2.840.10008.1.2.4.70",  # JPEG lossless
        "1.2.840.10008.1.2.4.81",  # JPEG-LS
        "1.2.840.10008.1.2.4.90",  # JPEG 2000
        "1.2.840.10008.1.2.4.108",  # HEVC video
        "1.2.840.10008.1.2.4.100.1",  # fragmentable MPEG-2
        "1.2.840.10008.1.2.4.112",  # JPEG XL
        "1.2.840.10008.1.2.4.203",  # HTJ2K
        "1.2.840.10008.1.2.4.299",  # not defined yet
        "1.2.840.10008.1.2.5",  # RLE
        "1.2.840.10008.1.2.8.1",  # deflated frames
    ],
)
def test_storage_accepts_every_transfer_syntax_as_proposed(syntax: str) -> None:
    context = _negotiate(CT, [syntax])
    assert context.accepted
    assert context.transfer_syntax == syntax


@pytest.mark.parametrize(
    "syntax",
    ["1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.7.1", "1.2.3", "", "1.2.840.10008.1.20.1"],
)
def test_what_is_no_encoding_of_a_stored_dataset_is_not_accepted(syntax: str) -> None:
    assert _negotiate(CT, [syntax]).outcome is ContextOutcome.TRANSFER_SYNTAXES_NOT_SUPPORTED


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([IMPLICIT, EXPLICIT], EXPLICIT),
        ([BIG_ENDIAN, IMPLICIT], IMPLICIT),
        ([EXPLICIT, "1.2.840.10008.1.2.4.90"], EXPLICIT),
        (["1.2.840.10008.1.2.4.90", EXPLICIT], "1.2.840.10008.1.2.4.90"),
        (["1.2.3", IMPLICIT], IMPLICIT),
    ],
)
def test_of_several_the_first_that_keeps_the_vrs_is_chosen(offered: list[str], chosen: str) -> None:
    assert _negotiate(CT, offered).transfer_syntax == chosen


@pytest.mark.parametrize("sop_class", ["1.2.3.4", "1.2.840.10008.5.1.4.31", "../../etc", ""])
def test_an_unknown_sop_class_is_not_accepted(sop_class: str) -> None:
    context = _negotiate(sop_class, [IMPLICIT])
    assert context.outcome is ContextOutcome.ABSTRACT_SYNTAX_NOT_SUPPORTED


def test_a_private_sop_class_is_accepted_when_configured() -> None:
    private = "1.2.840.113619.4.27"
    assert not _negotiate(private, [IMPLICIT]).accepted
    assert _negotiate(private, [IMPLICIT], Offer(OFFER.storage_sop_classes | {private})).accepted


@pytest.mark.parametrize("sop_class", [VERIFICATION, STUDY_ROOT_FIND])
def test_queries_and_verification_take_only_plain_codings(sop_class: str) -> None:
    assert _negotiate(sop_class, [IMPLICIT]).accepted
    compressed = _negotiate(sop_class, ["1.2.840.10008.1.2.4.50"])
    assert compressed.outcome is ContextOutcome.TRANSFER_SYNTAXES_NOT_SUPPORTED


def test_every_storage_class_pynetdicom_knows_is_offered_and_retired_ones_too() -> None:
    from pynetdicom import AllStoragePresentationContexts

    known = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    of_no_study = {uid for uid in known if ".1.1.200." in uid or ".1.1.201." in uid}
    of_no_study -= PERFORMED_PROTOCOLS
    assert known - of_no_study <= OFFER.storage_sop_classes
    assert OFFER.storage_sop_classes >= PERFORMED_PROTOCOLS
    assert not of_no_study & OFFER.storage_sop_classes
    assert "1.2.840.10008.5.1.4.1.1.6" in OFFER.storage_sop_classes  # ultrasound before 1998
    assert "1.2.840.10008.1.3.10" not in OFFER.storage_sop_classes  # DICOMDIR


@pytest.mark.parametrize("service", [STUDY_ROOT_FIND, STUDY_ROOT_GET, PUSH_MODEL])
def test_an_association_with_another_service_is_not_store_only(service: str) -> None:
    parts = RequestParts()
    assert OFFER.agree(parse_association_request(parts.encode())).is_store_only
    parts.contexts.append(context_item(5, service, [IMPLICIT]))
    assert not OFFER.agree(parse_association_request(parts.encode())).is_store_only
    refused = RequestParts(contexts=[context_item(1, service, ["1.2.840.10008.1.2.4.90"])])
    assert OFFER.agree(parse_association_request(refused.encode())).is_store_only


@pytest.mark.parametrize(
    ("service", "agreed"), [(STUDY_ROOT_GET, (True, True)), (STUDY_ROOT_FIND, (True, False))]
)
def test_who_may_be_sent_to_is_agreed_where_something_can_be_got(
    service: str, agreed: tuple[bool, bool]
) -> None:
    parts = RequestParts(roles=[role_item(CT, scu=True, scp=True), role_item("1.2", scu=1, scp=1)])
    parts.contexts.append(context_item(5, service, [IMPLICIT]))
    assert OFFER.agree(parse_association_request(parts.encode())).roles == {CT: agreed}


def test_what_is_to_be_got_is_got_in_a_coding_that_can_always_be_made() -> None:
    parts = RequestParts(roles=[role_item(CT, scu=False, scp=True)])
    parts.contexts = [
        context_item(1, STUDY_ROOT_GET, [IMPLICIT]),
        context_item(3, CT, ["1.2.840.10008.1.2.4.50", EXPLICIT, IMPLICIT]),
    ]
    agreed = OFFER.agree(parse_association_request(parts.encode()))
    assert [c.transfer_syntax for c in agreed.sendable(CT)] == [EXPLICIT]
    assert agreed.sendable(VERIFICATION) == ()
