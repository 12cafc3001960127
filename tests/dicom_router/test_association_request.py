"""A-ASSOCIATE-RQ: what is read, what is refused, and that nothing hostile raises anything else."""

import random

import pytest

from dicom_router.association_request import parse_association_request
from dicom_router.errors import AssociationRefusedError, ProtocolViolationError
from tests.dicom_router.wire import (
    CT,
    EXPLICIT,
    IMPLICIT,
    VERIFICATION,
    RequestParts,
    context_item,
    item,
    pdu,
)


def test_titles_contexts_and_lengths_are_read() -> None:
    request = parse_association_request(RequestParts(max_length=131072).encode())
    assert (request.calling_ae_title, request.called_ae_title) == ("CT1", "EIRHUB")
    assert request.max_length == 131072
    assert request.implementation_class_uid == "1.2.3.4"
    assert [(c.context_id, c.abstract_syntax, c.transfer_syntaxes) for c in request.contexts] == [
        (1, VERIFICATION, (IMPLICIT,)),
        (3, CT, (EXPLICIT,)),
    ]


@pytest.mark.parametrize(
    ("contexts", "complaint"),
    [
        ([], "no presentation context"),
        ([context_item(2, CT, [IMPLICIT])], "even"),
        ([context_item(1, CT, [IMPLICIT])] * 2, "twice"),
        ([context_item(n % 256, CT, [IMPLICIT]) for n in range(1, 259, 2)], "more than 128"),
    ],
)
def test_contexts_that_break_the_rules_are_refused(contexts: list[bytes], complaint: str) -> None:
    with pytest.raises(AssociationRefusedError, match=complaint) as refused:
        parse_association_request(RequestParts(contexts=contexts).encode())
    assert (refused.value.result, refused.value.source) == (1, 2)


def test_128_contexts_are_fine() -> None:
    contexts = [context_item(n, CT, [IMPLICIT]) for n in range(1, 256, 2)]
    request = parse_association_request(RequestParts(contexts=contexts).encode())
    assert len(request.contexts) == 128


def test_another_protocol_version_is_refused_as_such() -> None:
    with pytest.raises(AssociationRefusedError) as refused:
        parse_association_request(RequestParts(version=2).encode())
    assert (refused.value.result, refused.value.source, refused.value.reason) == (1, 2, 2)


def test_another_application_context_is_refused_as_such() -> None:
    with pytest.raises(AssociationRefusedError) as refused:
        parse_association_request(RequestParts(application_context="1.2.3").encode())
    assert (refused.value.result, refused.value.source, refused.value.reason) == (1, 1, 2)


def test_an_item_longer_than_the_pdu_is_a_violation() -> None:
    fixed = RequestParts().encode()[6:74]
    with pytest.raises(ProtocolViolationError, match="longer than the PDU"):
        parse_association_request(pdu(1, fixed + b"\x10\x00\xff\xff1.2"))


def test_a_context_without_a_sop_class_is_a_violation() -> None:
    nameless = item(0x20, bytes((1, 0, 0, 0)) + item(0x40, IMPLICIT.encode()))
    with pytest.raises(ProtocolViolationError, match="names no SOP class"):
        parse_association_request(RequestParts(contexts=[nameless]).encode())


def test_mutilated_requests_raise_only_what_is_announced() -> None:
    chance = random.Random(20261121)  # noqa: S311 (a test repeats itself)
    whole = RequestParts().encode()
    for _ in range(3000):
        mutilated = bytearray(whole[: chance.randrange(len(whole) + 1)])
        for _ in range(chance.randrange(6)):
            if mutilated:
                mutilated[chance.randrange(len(mutilated))] = chance.randrange(256)
        try:
            parse_association_request(bytes(mutilated))
        except (ProtocolViolationError, AssociationRefusedError):
            continue
