"""Refusals at the HL7 door of a whole hub: who refuses is answered like one whom nobody knows."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from access_control.audit import AuditQuery
from access_control.consent import EVERYONE, ConsentKind, site_scope
from access_control.model import Site
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.settings import Settings
from hub_runtime import hl7_node
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from patient_index.model import Decided
from tests.patient_index.hl7v2.messages import adt, pdq, pix
from tests.patient_index.hl7v2.wire import Sender, connected, count, repetitions, value

EAST = AssigningAuthority("EAST", "1.2.826.0.1.3680043.10.1717.901")
WEST = AssigningAuthority("WEST", "1.2.826.0.1.3680043.10.1717.902")
DOMAINS = [
    {"namespace": one.namespace, "oid": one.oid, "senders": [f"HIS|{one.namespace}"]}
    for one in (EAST, WEST)
]
OTHERS = 7


@dataclass
class Town:
    """A hub that knows Wang, and seven Zhangs, at two sites; and a sender of the first."""

    hub: Hub
    sender: Sender

    def global_id(self, value: str, issuer: AssigningAuthority = EAST) -> str:
        found = self.hub.patients.resolve(PatientIdentifier(value, issuer))
        assert found is not None
        return found

    def refuse(self, value: str, scope: str = EVERYONE) -> str:
        global_id = self.global_id(value)
        self.hub.access.consents.record(
            global_id, ConsentKind.REFUSE, scope, by="registrar", reason="asked at the desk"
        )
        return global_id


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    settings = Settings.model_validate(
        {
            "hub": {"data_dir": tmp_path / "data"},
            "hl7": {"port": 0},
            "identity": {"domains": DOMAINS},
        }
    )
    hub = build_hub(settings)
    hub.open()
    for site_id, issuer in (("east", EAST), ("west", WEST)):
        ae_titles, networks = (f"AE{site_id.upper()}",), ("127.0.0.1/32",)
        hub.access.sites.add(
            Site(site_id, site_id, site_id, site_id, "township", ae_titles, networks, issuer)
        )
    node = hub.hl7_node()
    port = node.start()
    with connected(port) as sender:
        for message in (
            adt("1^^^EAST||王^小东||19850312|M|||泗泾镇1号^^上海||021 5761", control_id="1"),
            adt("1^^^WEST||王^小东||19850312|M", control_id="2", facility="WEST"),
            *(
                adt(f"{n}^^^EAST||张^{chr(0x4E00 + n * 37)}||19900101|F", control_id=str(n))
                for n in range(10, 10 + OTHERS)
            ),
            adt("30^^^EAST||张^宝||20260101|M|||||||||||||1^^^EAST", control_id="30"),
        ):
            assert value(sender.ask(message), "MSA.1") == "AA"
        made = Town(hub, sender)
        one_person = Decided(by="registrar", reason="the same person")
        hub.patients.merge(made.global_id("1"), made.global_id("1", WEST), one_person)
        yield made
    node.stop(grace_s=2.0)
    hub.close()


def plain(raw: bytes, *names: str) -> bytes:
    """An answer without what differs from message to message, and without the words asked for."""
    text = raw.decode()
    for name in names:
        text = text.replace(name, "?")
    header, _, rest = text.partition("\r")
    fields = header.split("|")
    fields[6] = fields[9] = "when and which"
    return "\r".join(("|".join(fields), rest)).encode()


def raw(town: Town, message: str) -> bytes:
    town.sender.send(message)
    return town.sender.raw_answer()


def test_pix_answers_a_refused_person_like_an_unknown_one(town: Town) -> None:
    assert value(town.sender.ask(pix("1^^^EAST")), "QAK.2") == "OK"
    person = town.refuse("1")
    for asked in ("1^^^EAST", "1^^^WEST", f"{person}^^^EIR"):
        unknown = asked.replace("1^^^", "404^^^").replace(person, "P404")
        known, stranger = raw(town, pix(asked)), raw(town, pix(unknown))
        assert plain(known, asked) == plain(stranger, unknown)
        assert person.encode() not in known.replace(asked.encode(), b"")


def test_pdq_leaves_a_refused_person_out_however_asked_for(town: Town) -> None:
    person = town.refuse("1")
    for parameters in (
        "@PID.5.1^王", "@PID.5.2^小东", "@PID.5^wxd", "@PID.3.1^1~@PID.3.4.1^EAST",
        "@PID.7^19850312", "@PID.11.3^上海", "@PID.13.7^0215761",
        f"@PID.3.1^{person}~@PID.3.4.1^EIR",
    ):  # fmt: skip
        answer = town.sender.ask(pdq(parameters, charset="UNICODE UTF-8"))
        assert (value(answer, "QAK.2"), count(answer, "PID")) == ("NF", 0), parameters
        assert value(answer, "DSC.1") == ""


def test_a_page_is_as_long_as_if_the_refused_were_not_there(town: Town) -> None:
    everybody = sorted(town.global_id(str(n)) for n in range(10, 10 + OTHERS))
    refused = {everybody[0], everybody[2], everybody[3], everybody[-1]}
    for n in range(10, 10 + OTHERS):
        if town.global_id(str(n)) in refused:
            town.refuse(str(n))
    seen: list[str] = []
    pointer, lengths = "", []
    while True:
        more = (f"DSC|{pointer}|I",) if pointer else ()
        answer = town.sender.ask(pdq("@PID.5.1^张~@PID.8^F", "RCP|I|1^RD", *more))
        lengths.append(count(answer, "PID"))
        seen.append(repetitions(answer, "PID", 3)[0].split("^")[0])
        pointer = value(answer, "DSC.1")
        if not pointer:
            break
    assert seen == [one for one in everybody if one not in refused]
    assert lengths == [1] * (OTHERS - len(refused))


def test_a_refusal_of_one_site_binds_the_senders_of_that_site_alone(town: Town) -> None:
    town.refuse("1", site_scope("west"))
    assert value(town.sender.ask(pix("1^^^EAST")), "QAK.2") == "OK"
    assert value(town.sender.ask(pdq("@PID.5.1^王")), "QAK.2") == "OK"
    for message in (pix("1^^^EAST"), pdq("@PID.5.1^王")):
        from_west = message.replace("|HIS|EAST|", "|HIS|WEST|")
        assert count(town.sender.ask(from_west), "PID") == 0


def test_a_refusal_taken_back_is_forgotten(town: Town) -> None:
    person = town.refuse("1")
    assert value(town.sender.ask(pix("1^^^EAST")), "MSA.1") == "AE"
    town.hub.access.consents.record(
        person, ConsentKind.GRANT, EVERYONE, by="registrar", reason="changed their mind"
    )
    assert value(town.sender.ask(pix("1^^^EAST")), "QAK.2") == "OK"


def test_a_mother_who_refuses_leads_to_her_child_by_its_own_record_alone(town: Town) -> None:
    by_east, by_west, by_name = (
        "@PID.21.1^1~@PID.21.4.1^EAST", "@PID.21.1^1~@PID.21.4.1^WEST", "@PID.6.1^王",
    )  # fmt: skip
    for parameters in (by_east, by_west, by_name):
        assert value(town.sender.ask(pdq(parameters)), "QAK.2") == "OK", parameters
    town.refuse("1")
    # The child's record names this number; that the other is hers too is for her to say.
    assert value(town.sender.ask(pdq(by_east)), "QAK.2") == "OK"
    for parameters in (by_west, by_name):
        assert value(town.sender.ask(pdq(parameters)), "QAK.2") == "NF", parameters
    child = town.sender.ask(pdq("@PID.3.1^30~@PID.3.4.1^EAST"))
    assert value(child, "PID.6.1") == ""
    assert "王" not in str(child)


def test_a_refused_look_is_on_record_for_the_person(town: Town) -> None:
    person = town.refuse("1")
    town.sender.ask(pix("1^^^EAST"))
    about = AuditQuery(resource_ids=frozenset({person}), action="find_patient")
    (record,) = town.hub.access.audit.search(about).records
    assert (record.outcome, record.subject_id) == ("refused", "HIS|EAST")


def test_the_control_without_rights_shows_everybody(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails when nobody asks: the very answers that the tests above forbid."""
    town.refuse("1")
    monkeypatch.setattr(
        hl7_node.SenderRights, "__call__", lambda _self, _sender, ids: frozenset(ids)
    )
    assert value(town.sender.ask(pix("1^^^EAST")), "QAK.2") == "OK"
    assert value(town.sender.ask(pdq("@PID.5.1^王")), "QAK.2") == "OK"


def test_the_feed_takes_what_is_said_of_a_person_who_refuses(town: Town) -> None:
    town.refuse("1")
    answer = town.sender.ask(adt("1^^^EAST||王^小东||19850312|M", event="A08", control_id="u1"))
    assert value(answer, "MSA.1") == "AA"
    assert not re.search("refus|拒", str(answer))
