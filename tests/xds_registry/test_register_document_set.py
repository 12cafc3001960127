"""ITI-42 over HTTP: what is registered, how it relates to what is there, and what is refused."""

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree
from sqlalchemy import select

from access_control.tables import AuditRecordRow
from tests.xds_registry import wire
from tests.xds_registry.registering import METADATA, refused
from tests.xds_registry.samples import entry, urn
from tests.xds_registry.submitted import (
    RIM,
    Registrar,
    folder,
    member,
    of,
    refusals,
    related,
    request,
    symbolic,
    with_folder,
)
from tests.xds_registry.trial import Trial
from xds_registry import vocabulary as v
from xds_registry.model import AssociationType, Author, Code, ReferenceId, Submission

RPLC, XFRM, APND = (
    AssociationType.REPLACES,
    AssociationType.TRANSFORMS,
    AssociationType.APPENDS,
)


def test_symbolic_ids_become_uuids_and_everything_sent_comes_back(
    registrar: Registrar, patient: str
) -> None:
    sent = of(
        patient,
        "one",
        title="胸部 CT",
        comments="平扫",
        authors=(
            Author(
                "1^王^小东^^^^^^&1.2.3&ISO",
                ("镇卫生院^^^^^&1.2.156&ISO^^^^A1",),
                ("医师", "组长"),
                ("影像",),
                ("^^Internet^a@b.cn",),
            ),
            Author("^李^四", (), ("技师",)),
        ),
        reference_ids=(ReferenceId.accession("A-1", "1.2.3"),),
        legal_authenticator="^王^小东",
        service_start_time="202601010800",
        service_stop_time="2026010109",
        extra_slots=(("urn:example:device", ("CT-1", "CT-2")),),
        source_patient_info=("PID-3|L-1", "PID-5|王^小东", "PID-8|M"),
    )
    answer = registrar.send(symbolic(request(sent)))
    assert wire.status(answer) == "Success", refusals(answer)
    (uuid,) = registrar.documents(patient)
    assert uuid.startswith("urn:uuid:")
    assert uuid != sent.entries[0].entry_uuid
    got = registrar.query(wire.GET_DOCUMENTS, ("$XDSDocumentEntryEntryUUID", f"('{uuid}')"))
    (found,) = got.iter(f"{RIM}ExtrinsicObject")
    (expected,) = request(sent).iter(f"{RIM}ExtrinsicObject")
    assert content(found) == content(expected)


def content(element: etree._Element) -> list[tuple[str, ...]]:
    """Return what an object says, without the ids that the registry gives."""
    said = []
    for one in element.iter(f"{RIM}Value", f"{RIM}LocalizedString", f"{RIM}ExternalIdentifier"):
        said.append((etree.QName(one).localname, one.text or "", one.get("value", "")))
    for one in element.iter(f"{RIM}Classification"):
        said.append((one.get("classificationScheme", ""), one.get("nodeRepresentation", "")))
    return said


def test_titles_in_several_languages_are_all_kept(registrar: Registrar, patient: str) -> None:
    body = request(of(patient, "one", title="x"))
    (name,) = body.xpath("//rim:ExtrinsicObject/rim:Name", namespaces={"rim": wire.RIM})
    name.clear()
    for language, text in (("en", "Chest CT"), ("zh-CN", "胸部CT"), ("bo", "བྲང")):
        one = etree.SubElement(name, f"{RIM}LocalizedString", value=text)
        one.set("{http://www.w3.org/XML/1998/namespace}lang", language)
    assert wire.status(registrar.send(body)) == "Success"
    got = registrar.query(wire.GET_DOCUMENTS, ("$XDSDocumentEntryEntryUUID", f"('{urn('one')}')"))
    (found,) = got.xpath("//rim:ExtrinsicObject/rim:Name", namespaces={"rim": wire.RIM})
    assert [one.get("value") for one in found] == ["Chest CT", "胸部CT", "བྲང"]


def test_classifications_may_stand_beside_their_object(registrar: Registrar, patient: str) -> None:
    body = request(with_folder(of(patient, "one"), folder(patient)))
    found = body.find(f"{RIM}RegistryObjectList")
    for one in list(body.iter(f"{RIM}Classification")):
        one.getparent().remove(one)
        found.insert(0, one)
    answer = registrar.send(body)
    assert wire.status(answer) == "Success", refusals(answer)
    assert registrar.documents(patient) == {urn("one"): "Approved"}


def test_an_unknown_patient_is_refused(here: Trial, registrar: Registrar) -> None:
    unknown = "P-404^^^&1.3.6.1.4.1.21367.2005.13.20.1000&ISO"
    ((code, place),) = refused(here, registrar, request(of(unknown, "one")))
    assert code == "XDSUnknownPatientId"
    assert v.SUBMISSION_SET_PATIENT_ID in place


def test_a_foreign_domain_is_an_unknown_patient(here: Trial, registrar: Registrar) -> None:
    ((code, _),) = refused(here, registrar, request(of("P-1^^^&1.2.3&ISO", "one")))
    assert code == "XDSUnknownPatientId"


def test_two_patients_in_one_submission_are_refused(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    other = here.know("P-2")
    sent = of(patient, "one")
    sent = replace(sent, entries=(replace(sent.entries[0], patient_id=other),))
    assert "XDSPatientIdDoesNotMatch" in {
        code for code, _ in refused(here, registrar, request(sent))
    }


def test_a_unique_id_twice_in_a_submission_is_refused(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    sent = of(patient, "one", "two")
    one, two = sent.entries
    sent = replace(sent, entries=(one, replace(two, unique_id=one.unique_id)))
    codes = {code for code, _ in refused(here, registrar, request(sent))}
    assert codes == {"XDSRegistryDuplicateUniqueIdInMessage"}


def test_what_is_registered_is_not_registered_again(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    sent = with_folder(of(patient, "one"), folder(patient))
    assert wire.status(registrar.register(sent)) == "Success"
    codes = {code for code, _ in refused(here, registrar, symbolic(request(sent)))}
    assert codes == {"XDSDuplicateUniqueIdInRegistry"}


def test_an_entry_uuid_that_is_taken_is_refused(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    registrar.register(of(patient, "one"))
    again = replace(entry("two"), entry_uuid=urn("one"), patient_id=patient)
    sent = of(patient, "three")
    members = tuple(replace(a, target=again.entry_uuid) for a in sent.associations)
    sent = replace(sent, entries=(again,), associations=members)
    ((code, place),) = refused(here, registrar, request(sent))
    assert code == METADATA
    assert urn("one") in place


def test_other_content_under_a_registered_unique_id_is_refused(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    registrar.register(of(patient, "one"))
    for changed, code in (
        ({"sha1": "1" * 40, "size": 4}, "XDSNonIdenticalHash"),
        ({"size": 4}, "XDSNonIdenticalSize"),
    ):
        sent = of(patient, "again", unique_id=entry("one").unique_id, **changed)
        assert code in {found for found, _ in refused(here, registrar, request(sent))}
    sent = of(patient, "again", unique_id=entry("one").unique_id)
    assert wire.status(registrar.register(sent)) == "Success"


@pytest.mark.parametrize("kind", [RPLC, XFRM, APND, AssociationType.IS_SNAPSHOT_OF])
def test_a_relation_to_what_is_not_registered_is_refused(
    here: Trial, registrar: Registrar, patient: str, kind: AssociationType
) -> None:
    sent = related(kind, of(patient, "one"), entry("missing"))
    ((code, place),) = refused(here, registrar, request(sent))
    assert code == "UnresolvedReferenceException"
    assert place.endswith("/@targetObject")


def test_another_patients_document_is_not_replaced(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    other = here.know("P-2")
    registrar.register(of(other, "theirs"))
    sent = related(RPLC, of(patient, "one"), entry("theirs"))
    ((code, _),) = refused(here, registrar, request(sent))
    assert code == "XDSPatientIdDoesNotMatch"


def test_replacing_what_is_in_the_same_submission_is_refused(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    sent = related(RPLC, of(patient, "one", "two"), entry("two"))
    ((code, _),) = refused(here, registrar, request(sent))
    assert code == METADATA


@pytest.mark.parametrize(
    "kind", [AssociationType.UPDATES_AVAILABILITY, AssociationType.SUBMITS_ASSOCIATION]
)
def test_metadata_updates_are_no_registrations(
    here: Trial, registrar: Registrar, patient: str, kind: AssociationType
) -> None:
    registrar.register(of(patient, "one"))
    sent = related(kind, of(patient, "two"), entry("one"))
    ((code, place),) = refused(here, registrar, request(sent))
    assert (code, place.rpartition("/")[2]) == (METADATA, "@associationType")


def test_a_relation_says_what_it_is_for(registrar: Registrar, patient: str) -> None:
    registrar.register(of(patient, "old"))
    sent = related(RPLC, of(patient, "new"), entry("old"))
    why = Code("RPLC", "2.16.840.1.113883.5.1002", "replaces")
    *others, last = sent.associations
    sent = replace(sent, associations=(*others, replace(last, documentation=why)))
    assert wire.status(registrar.register(sent)) == "Success"
    got = registrar.query(wire.GET_ASSOCIATIONS, ("$uuid", f"('{urn('new')}')"))
    path = f"//rim:Classification[@classificationScheme='{v.ASSOCIATION_DOCUMENTATION}']"
    (found,) = got.xpath(path, namespaces={"rim": wire.RIM})
    assert found.get("nodeRepresentation") == "RPLC"


def add_to_folder(sent: Submission, name: str = "folder") -> Submission:
    """Return `sent` with its first document put into a folder that is registered."""
    holder = folder(sent.submission_set.patient_id, name)
    joined = member(holder, sent.entries[0])
    return replace(sent, associations=(*sent.associations, joined))


def folder_contents(registrar: Registrar, name: str = "folder") -> tuple[str, set[str]]:
    """Return when a folder was last updated, and the documents in it."""
    got = registrar.query(wire.GET_FOLDER_AND_CONTENTS, ("$XDSFolderEntryUUID", f"'{urn(name)}'"))
    (when,) = got.xpath(
        "//rim:Slot[@name='lastUpdateTime']//rim:Value/text()", namespaces={"rim": wire.RIM}
    )
    return when, set(wire.objects(got, "ExtrinsicObject"))


def test_a_document_joins_a_folder_that_is_registered(registrar: Registrar, patient: str) -> None:
    sent = with_folder(of(patient, "one"), folder(patient, last_update_time="20010101"))
    registrar.register(sent)
    before, _ = folder_contents(registrar)
    assert before > "2026"
    answer = registrar.register(add_to_folder(of(patient, "two")))
    assert wire.status(answer) == "Success", refusals(answer)
    after, documents = folder_contents(registrar)
    assert documents == {urn("one"), urn("two")}
    assert after >= before


def test_a_replacement_joins_the_folders_of_what_it_replaces(
    registrar: Registrar, patient: str
) -> None:
    registrar.register(with_folder(of(patient, "old"), folder(patient)))
    registrar.register(related(XFRM, of(patient, "picture"), entry("old")))
    answer = registrar.register(related(RPLC, of(patient, "new"), entry("old")))
    assert wire.status(answer) == "Success", refusals(answer)
    assert folder_contents(registrar)[1] == {urn("old"), urn("new")}
    assert registrar.documents(patient) == {
        urn("old"): "Deprecated",
        urn("picture"): "Deprecated",
        urn("new"): "Approved",
    }


def test_another_patients_folder_takes_no_document(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    registrar.register(with_folder(of(here.know("P-2"), "theirs"), folder(here.know("P-2"))))
    ((code, place),) = refused(here, registrar, request(add_to_folder(of(patient, "one"))))
    assert (code, place.rpartition("/")[2]) == ("XDSPatientIdDoesNotMatch", "@sourceObject")


def test_a_registered_document_is_held_by_reference(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    registrar.register(of(patient, "old"))
    sent = of(patient, "new")
    held = member(sent.submission_set, entry("old"), "Original")
    wrong = replace(sent, associations=(*sent.associations, held))
    ((code, place),) = refused(here, registrar, request(wrong))
    assert (code, "SubmissionSetStatus" in place) == (METADATA, True)
    right = replace(held, submission_set_status="Reference")
    answer = registrar.register(replace(sent, associations=(*sent.associations, right)))
    assert wire.status(answer) == "Success", refusals(answer)


def test_one_unique_id_from_twenty_threads_is_registered_once(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    """Each with other content: one of them is right, the others are told so."""
    bodies = [
        request(of(patient, f"n{n}", unique_id="1.2.3", sha1=f"{n + 1:040x}", size=n + 1))
        for n in range(20)
    ]
    answers: list[list[str]] = []
    barrier = threading.Barrier(len(bodies))

    def send(body: etree._Element) -> None:
        barrier.wait()
        answers.append([code for code, _ in refusals(registrar.send(body))])

    threads = [threading.Thread(target=send, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [[]] + [["XDSNonIdenticalHash"]] * 19
    assert len(registrar.documents(patient)) == 1


def test_submissions_and_refusals_are_audited(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    registrar.register(of(patient, "one"))
    registrar.register(of("nobody", "two"))
    with here.database.read() as session:
        found = session.execute(
            select(AuditRecordRow.action, AuditRecordRow.outcome).order_by(AuditRecordRow.sequence)
        )
        outcomes = [outcome for action, outcome in found if action == "submit_documents"]
    assert outcomes == ["success", "failure"]


def test_kill_after_any_statement_leaves_all_of_a_replacement_or_nothing(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_submission.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    killed, nothing, everything = map(int, done.stdout.split())
    assert killed == nothing + everything
    assert nothing > 10
    assert everything >= 1
