import pytest

from hub_kernel.errors import ConfigurationError
from patient_index.domains import Domain, DomainDirectory
from patient_index.hl7v2.admission import Admission, peer_rules, refuse_unguarded
from patient_index.hl7v2.exchange import Peer
from patient_index.hl7v2.problems import RefusedMessageError

PRINT = "ab" * 32
DOMAINS = DomainDirectory([Domain("EAST", "1.2.3", ("HIS|EAST", "RIS|EAST"))])
RULES = peer_rules(
    [
        {"sender": "HIS|EAST", "networks": ["10.1.0.0/16", "127.0.0.1"]},
        {"sender": "RIS|EAST", "certificates": [":".join(["AB"] * 32)]},
    ]
)


@pytest.mark.parametrize(
    ("sender", "peer", "rule"),
    [
        ("HIS|EAST", Peer("10.1.2.3"), ""),
        ("HIS|EAST", Peer("127.0.0.1"), ""),
        ("HIS|EAST", Peer("10.2.0.1"), "peer"),
        ("HIS|EAST", Peer("10.2.0.1", replayed_by="registrar"), ""),
        ("RIS|EAST", Peer("10.2.0.1", PRINT), ""),
        ("RIS|EAST", Peer("10.2.0.1", "cd" * 32), "peer"),
        ("RIS|EAST", Peer("10.2.0.1"), "peer"),
        ("HIS|WEST", Peer("127.0.0.1"), "sender"),
        ("|", Peer("127.0.0.1"), "sender"),
        ("", Peer("127.0.0.1"), "sender"),
    ],
)
def test_a_sender_is_admitted_from_where_its_rule_says(sender: str, peer: Peer, rule: str) -> None:
    admission = Admission(DOMAINS, RULES)
    if not rule:
        admission.admit(sender, peer)
        return
    with pytest.raises(RefusedMessageError) as caught:
        admission.admit(sender, peer)
    assert caught.value.rule_name == rule


@pytest.mark.parametrize(
    ("address", "settings"),
    [("127.0.0.1", {}), ("::1", {}), ("192.0.2.1", {"any_address": True})],
)
def test_a_sender_without_a_rule_comes_from_loopback_or_any_address(
    address: str, settings: dict[str, bool]
) -> None:
    Admission(DOMAINS, RULES[:1], **settings).admit("RIS|EAST", Peer(address))


def test_a_sender_without_a_rule_is_refused_from_elsewhere() -> None:
    with pytest.raises(RefusedMessageError, match="peer at MSH-3"):
        Admission(DOMAINS, RULES[:1]).admit("RIS|EAST", Peer("192.0.2.1"))


@pytest.mark.parametrize("bind", [".".join("0000"), "::", "10.1.2.3", "hub.example.cn", ""])
def test_a_listener_that_others_reach_needs_rules(bind: str) -> None:
    with pytest.raises(ConfigurationError, match=r"hl7\.bind.*\[\[hl7\.peers\]\].*any_address"):
        refuse_unguarded(bind, (), any_address=False)
    refuse_unguarded(bind, (), any_address=True)
    refuse_unguarded(bind, RULES, any_address=False)


@pytest.mark.parametrize("bind", ["127.0.0.1", "127.0.0.7", "::1", "localhost"])
def test_a_listener_on_loopback_needs_no_rules(bind: str) -> None:
    refuse_unguarded(bind, (), any_address=False)


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"sender": "A|B", "network": []}, "network"),
        ({"sender": "A|B", "networks": "10.0.0.0/8"}, "lists"),
        ({"sender": "A|B", "networks": ["10.0.0.0/99"]}, "10.0.0.0/99"),
    ],
)
def test_a_wrong_rule_stops_the_start(table: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        peer_rules([table])
