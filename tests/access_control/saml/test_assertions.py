"""What an honest assertion gives, and every single thing that spoils one."""

from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from access_control.errors import AssertionRefusedError
from access_control.model import Purpose, Role, SubjectKind
from access_control.saml.assertions import Assertions
from access_control.saml.names import HOLDER_OF_KEY
from hub_kernel.database import Database
from tests.access_control.saml.refused import NS, refusal
from tests.support.assertions import (
    Provider,
    Wanted,
    assertion,
    envelope,
    header_of,
    signed,
)
from tests.support.certificates import Authority, Certified
from tests.support.clock import FixedClock


def test_an_honest_assertion_names_a_user_with_rights_and_a_purpose(
    assertions: Assertions, provider: Provider, wanted: Wanted
) -> None:
    subject = assertions.subject(provider.header(wanted))
    assert (subject.kind, subject.subject_id) == (SubjectKind.USER, "li.ming@idp")
    assert subject.display == "Li Ming"
    assert subject.roles == {Role.CLINICIAN}
    assert subject.sites == {"sijing"}
    assert subject.purpose is Purpose.TREATMENT


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"role": "radiologist"}, ("roles", {Role.RADIOLOGIST})),
        ({"organization": "urn:region"}, ("sites", None)),
        ({"purpose": "EMERGENCY"}, ("purpose", Purpose.BREAK_GLASS)),
        ({"purpose": ""}, ("purpose", Purpose.TREATMENT)),
    ],
    ids=str,
)
def test_words_mean_what_the_trust_file_says(
    assertions: Assertions,
    provider: Provider,
    wanted: Wanted,
    changes: dict[str, Any],
    expected: tuple[str, object],
) -> None:
    subject = assertions.subject(provider.header(replace(wanted, **changes)))
    assert getattr(subject, expected[0]) == expected[1]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"audience": "https://elsewhere.test"}, "meant for another audience"),
        ({"audience": None}, "meant for no audience"),
        (
            {
                "conditions": "<saml:AudienceRestriction><saml:Audience>urn:x</saml:Audience>"
                "</saml:AudienceRestriction>"
            },
            "meant for another audience",
        ),
        ({"conditions": "<saml:Condition/>"}, "a condition that is not understood"),
        ({"not_on_or_after": timedelta(seconds=-61)}, "expired"),
        ({"not_before": timedelta(seconds=61)}, "not valid yet"),
        ({"not_on_or_after": timedelta(days=9)}, "valid for longer than is accepted"),
        ({"issuer": "https://evil.test"}, "an issuer that is not trusted"),
        ({"name_id": ""}, "nobody is named"),
        ({"name_id": "admin<saml:x/>"}, "nobody is named"),
        ({"name_id": "x" * 126}, "a name that cannot be recorded"),
        ({"role": "janitor"}, "no role that has a meaning here"),
        ({"role": ""}, "no role that has a meaning here"),
        ({"organization": "urn:unknown"}, "an organisation that has no site here"),
        ({"organization": ""}, "an organisation that has no site here"),
        ({"purpose": "MARKETING"}, "no purpose that has a meaning here"),
        ({"authn": ""}, "does not say how the user was authenticated"),
        ({"version": "1.1"}, "another version of SAML"),
        ({"method": "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"}, "not confirmed for who"),
        ({"method": HOLDER_OF_KEY}, "not confirmed for who"),
        (
            {"confirmation_data": '<saml:SubjectConfirmationData Recipient="urn:x"/>'},
            "not confirmed for who",
        ),
        (
            {
                "confirmation_data": "<saml:SubjectConfirmationData "
                'NotOnOrAfter="2001-01-01T00:00:00Z"/>'
            },
            "not confirmed for who",
        ),
        (
            {
                "authn": "<saml:AuthnStatement AuthnInstant='{at}' "
                "SessionNotOnOrAfter='2001-01-01T00:00:00Z'/>"
            },
            "the session has ended",
        ),
        (
            {"extra": "<saml:Advice><saml:Assertion ID='_b'/></saml:Advice>"},
            "several assertions",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else str(value),
)
def test_what_an_assertion_says_can_spoil_it(
    assertions: Assertions, provider: Provider, wanted: Wanted, changes: dict[str, Any], rule: str
) -> None:
    assert rule in refusal(assertions, provider.header(replace(wanted, **changes)))
    assert assertions.subject(provider.header(replace(wanted, assertion_id="_c")))  # the control


@pytest.mark.parametrize(
    ("change", "holds"), [(timedelta(seconds=-59), True), (timedelta(seconds=-60), False)]
)
def test_clocks_may_differ_by_the_skew_and_no_more(
    assertions: Assertions, provider: Provider, wanted: Wanted, change: timedelta, *, holds: bool
) -> None:
    late = provider.header(replace(wanted, not_on_or_after=change, not_before=-timedelta(hours=1)))
    assert (assertions.subject(late) is not None) if holds else refusal(assertions, late)
    early = replace(wanted, assertion_id="_e", not_before=-change + timedelta(seconds=not holds))
    header = provider.header(early)
    assert (assertions.subject(header) is not None) if holds else refusal(assertions, header)


@pytest.mark.parametrize(
    "spoil",
    [
        "IssueInstant='nonsense'",
        "IssueInstant='2026-11-21T08:00:00'",
        "IssueInstant='9999-01-01T00:00:00Z'",
    ],
)
def test_a_time_that_is_none_spoils_it(
    assertions: Assertions, provider: Provider, idp: Certified, wanted: Wanted, spoil: str
) -> None:
    unsigned = assertion(wanted)
    unsigned.set("IssueInstant", spoil.split("'")[1])
    assert refusal(assertions, header_of(envelope(signed(unsigned, idp))))


# -- the message around it


def test_two_good_assertions_are_refused(
    assertions: Assertions, idp: Certified, wanted: Wanted
) -> None:
    one = signed(assertion(wanted), idp)
    two = signed(assertion(replace(wanted, assertion_id="_b")), idp)
    assert refusal(assertions, header_of(envelope(one, two))) == "several assertions"


@pytest.mark.parametrize(
    ("inside", "rule"),
    [
        ("", "no assertion in the Security header"),
        ("<x xmlns='urn:x'/>", "something that is not understood"),
        ("<saml:EncryptedAssertion xmlns:saml='{s}'/>", "something that is not understood"),
    ],
)
def test_a_security_header_with_anything_else_is_refused(
    assertions: Assertions, inside: str, rule: str
) -> None:
    assert rule in refusal(assertions, header_of(envelope(inside.format(**NS))))


def test_a_comment_in_the_name_never_makes_another_name(
    assertions: Assertions, idp: Certified, wanted: Wanted
) -> None:
    mine = signed(assertion(replace(wanted, name_id="admin.evil")), idp)
    message = envelope(mine).replace(b"admin.evil", b"admin<!-- -->.evil")
    # The control: the signature still holds, and a reader of the first text node sees "admin".
    naive = header_of(message, keep_comments=True).find(".//s:NameID", NS)
    assert naive is not None
    assert naive.text == "admin"
    kept = header_of(message, keep_comments=True)
    assert refusal(assertions, kept) == "a comment, instruction or entity in the message"
    # As the doors parse it, comments are gone, and the name is the one that was signed.
    assert assertions.subject(header_of(message)).subject_id == "admin.evil@idp"


def test_a_document_type_declaration_is_refused(
    assertions: Assertions, provider: Provider, idp: Certified, wanted: Wanted
) -> None:
    message = b'<!DOCTYPE x [<!ENTITY e "admin">]>' + envelope(signed(assertion(wanted), idp))
    assert refusal(assertions, header_of(message)) == "a document type declaration"


# -- once


def test_an_assertion_opens_the_door_once(
    assertions: Assertions, provider: Provider, wanted: Wanted, clock: FixedClock
) -> None:
    header = provider.header(wanted)
    assert assertions.subject(header)
    assert refusal(assertions, header) == "used before"
    clock.advance(seconds=200)
    assertions.purge()
    assert refusal(assertions, header) == "used before"
    clock.advance(seconds=200)
    assertions.purge()
    assert refusal(assertions, header) == "expired"


def test_of_many_at_the_same_moment_one_gets_in(
    assertions: Assertions, provider: Provider, idp: Certified, wanted: Wanted
) -> None:
    message = envelope(signed(assertion(wanted), idp))

    def enter(_: int) -> bool:
        try:
            return assertions.subject(header_of(message)) is not None
        except AssertionRefusedError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(enter, range(16))) == 1


def test_a_forged_copy_does_not_use_up_the_real_one(
    assertions: Assertions, idp: Certified, provider: Provider, wanted: Wanted
) -> None:
    forged = signed(assertion(wanted), idp)
    name = forged.find(".//s:NameID", NS)
    assert name is not None
    name.text = "admin"
    assert refusal(assertions, header_of(envelope(forged))) == "the signature does not hold"
    assert assertions.subject(provider.header(wanted))


def test_an_issuer_may_be_trusted_to_send_an_assertion_again(
    database: Database, clock: FixedClock, idp: Certified, wanted: Wanted
) -> None:
    provider = Provider(idp, trust_changes={"one_time": False})
    assertions = Assertions(database, clock, provider.trust)
    header = provider.header(wanted)
    assert assertions.subject(header)
    assert assertions.subject(header)
    once = provider.header(replace(wanted, assertion_id="_o", conditions="<saml:OneTimeUse/>"))
    assert assertions.subject(once)
    assert refusal(assertions, once) == "used before"


def test_a_holder_of_key_must_hold_it_and_may_come_again(
    database: Database, clock: FixedClock, authority: Authority, idp: Certified, wanted: Wanted
) -> None:
    provider = Provider(idp, trust_changes={"confirmations": frozenset({"holder-of-key"})})
    assertions = Assertions(database, clock, provider.trust)
    machine, thief = authority.issue("machine"), authority.issue("thief")
    data = (
        f"<saml:SubjectConfirmationData><ds:KeyInfo xmlns:ds='{NS['ds']}'><ds:X509Data>"
        f"<ds:X509Certificate>{b64encode(machine.der).decode()}</ds:X509Certificate>"
        "</ds:X509Data></ds:KeyInfo></saml:SubjectConfirmationData>"
    )
    header = provider.header(replace(wanted, method=HOLDER_OF_KEY, confirmation_data=data))
    assert refusal(assertions, header) == "not confirmed for who shows it"
    assert refusal(assertions, header, thief.der) == "not confirmed for who shows it"
    assert assertions.subject(header, machine.der)
    assert assertions.subject(header, machine.der)
