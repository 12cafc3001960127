import pytest

from hub_kernel.errors import ConfigurationError
from patient_index.domains import Domain, DomainDirectory
from patient_index.hl7v2.admission import Admission, peer_rules
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


def test_a_known_sender_without_a_rule_may_come_from_anywhere() -> None:
    Admission(DOMAINS).admit("RIS|EAST", Peer("192.0.2.1"))


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
