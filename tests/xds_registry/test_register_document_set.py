"""ITI-42 over HTTP: what is registered, what is refused, and that a refusal names all of it."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree
from sqlalchemy import func, select

from access_control.tables import AuditRecordRow
from tests.xds_registry import wire
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
from tests.xds_registry.trial import Trial, served, trial
from xds_registry import vocabulary as v
from xds_registry.model import AssociationType, Author, Code, ReferenceId, Submission
from xds_registry.tables import DocumentEntryRow, FolderRow, SubmissionSetRow, XdsAssociationRow

RPLC, XFRM, APND = (
    AssociationType.REPLACES,
    AssociationType.TRANSFORMS,
    AssociationType.APPENDS,
)
METADATA = "XDSRegistryMetadataError"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Trial]:
    with trial(tmp_path) as opened:
        yield opened


@pytest.fixture
def registrar(here: Trial) -> Iterator[Registrar]:
    with served(here.application) as address:
        yield Registrar(address)


@pytest.fixture
def patient(here: Trial) -> str:
    return here.know("P-1")


def rows(here: Trial) -> int:
    """Return how many registry objects there are."""
    tables = (DocumentEntryRow, FolderRow, SubmissionSetRow, XdsAssociationRow)
    with here.database.read() as session:
        return sum(session.scalar(select(func.count()).select_from(one)) or 0 for one in tables)


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


def drop(path: str) -> Callable[[etree._Element], None]:
    def change(body: etree._Element) -> None:
        for one in body.xpath(path, namespaces={"rim": wire.RIM}):
            one.getparent().remove(one)

    return change


def double(path: str) -> Callable[[etree._Element], None]:
    def change(body: etree._Element) -> None:
        for one in body.xpath(path, namespaces={"rim": wire.RIM}):
            one.addnext(etree.fromstring(etree.tostring(one)))

    return change


def put(path: str, name: str, value: str) -> Callable[[etree._Element], None]:
    """Set an attribute, or the text where `name` is empty, of what the path finds."""

    def change(body: etree._Element) -> None:
        found = body.xpath(path, namespaces={"rim": wire.RIM})
        assert found, path
        for one in found:
            if name:
                one.set(name, value)
            else:
                one.text = value

    return change


DOC, SET, FOL = (
    "//rim:ExtrinsicObject",
    "//rim:RegistryPackage[1]",
    "//rim:RegistryPackage[2]",
)


def slot(name: str, of: str = DOC) -> str:
    return f"{of}/rim:Slot[@name='{name}']"


def value(name: str, of: str = DOC) -> str:
    return f"{slot(name, of)}/rim:ValueList/rim:Value"


def code(scheme: str, of: str = DOC) -> str:
    return f"{of}/rim:Classification[@classificationScheme='{scheme}']"


def identifier(scheme: str, of: str = DOC) -> str:
    return f"{of}/rim:ExternalIdentifier[@identificationScheme='{scheme}']"


SHA1_OF_NOTHING = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
DOCUMENT_CODES = (
    v.DOCUMENT_CLASS_CODE,
    v.DOCUMENT_TYPE_CODE,
    v.DOCUMENT_FORMAT_CODE,
    v.DOCUMENT_PRACTICE_SETTING_CODE,
    v.DOCUMENT_FACILITY_TYPE_CODE,
    v.DOCUMENT_CONFIDENTIALITY_CODE,
)
MISSING = [
    *(slot(name) for name in ("creationTime", "hash", "languageCode", "repositoryUniqueId")),
    *(slot(name) for name in ("size", "sourcePatientId")),
    *(code(scheme) for scheme in DOCUMENT_CODES),
    identifier(v.DOCUMENT_PATIENT_ID),
    identifier(v.DOCUMENT_UNIQUE_ID),
    slot("submissionTime", SET),
    code(v.SUBMISSION_SET_CONTENT_TYPE_CODE, SET),
    identifier(v.SUBMISSION_SET_PATIENT_ID, SET),
    identifier(v.SUBMISSION_SET_SOURCE_ID, SET),
    identifier(v.SUBMISSION_SET_UNIQUE_ID, SET),
    code(v.FOLDER_CODE, FOL),
    f"{FOL}/rim:Name",
    identifier(v.FOLDER_PATIENT_ID, FOL),
    identifier(v.FOLDER_UNIQUE_ID, FOL),
]
WRONG = [
    (put(DOC, "mimeType", "application/x-unknown"), "/@mimeType"),
    (put(DOC, "objectType", "urn:uuid:none"), "/@objectType"),
    (put(DOC, "objectType", "urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248"), "/@objectType"),
    (put(value("creationTime"), "", "2026-01-01"), "creationTime"),
    (put(value("creationTime"), "", "20261301"), "creationTime"),
    (put(value("languageCode"), "", "中文"), "languageCode"),
    (put(value("hash"), "", "not-a-hash"), "hash"),
    (put(value("size"), "", "0"), "size"),
    (put(value("size"), "", "-1"), "size"),
    (put(value("size"), "", "9" * 30), "size"),
    (put(value("repositoryUniqueId"), "", "1.2..3"), "repositoryUniqueId"),
    (put(value("sourcePatientId"), "", "L-1"), "sourcePatientId"),
    (put(identifier(v.DOCUMENT_PATIENT_ID), "value", "P-1"), v.DOCUMENT_PATIENT_ID),
    (put(identifier(v.DOCUMENT_UNIQUE_ID), "value", "x" * 99), v.DOCUMENT_UNIQUE_ID),
    (put(identifier(v.SUBMISSION_SET_SOURCE_ID, SET), "value", "me"), v.SUBMISSION_SET_SOURCE_ID),
    *(
        (put(code(scheme), "nodeRepresentation", "no-such-code"), scheme)
        for scheme in DOCUMENT_CODES
    ),
    (put(code(v.DOCUMENT_CLASS_CODE), "nodeRepresentation", ""), v.DOCUMENT_CLASS_CODE),
    (put(code(v.FOLDER_CODE, FOL), "nodeRepresentation", "no-such-code"), v.FOLDER_CODE),
    (drop(f"{code(v.DOCUMENT_CLASS_CODE)}/rim:Slot"), v.DOCUMENT_CLASS_CODE),
    (drop(f"{code(v.DOCUMENT_CLASS_CODE)}/rim:Name"), v.DOCUMENT_CLASS_CODE),
    (double(code(v.DOCUMENT_CLASS_CODE)), v.DOCUMENT_CLASS_CODE),
    (double(slot("languageCode")), "languageCode"),
    (double(value("languageCode")), "languageCode"),
    (double(identifier(v.DOCUMENT_UNIQUE_ID)), v.DOCUMENT_UNIQUE_ID),
    (double(DOC), "/@id"),
    (double(SET), "rim:RegistryPackage"),
    (put(value("languageCode"), "", ""), "languageCode"),
    (put(code(v.DOCUMENT_CLASS_CODE), "classificationScheme", "urn:uuid:x"), "urn:uuid:x"),
    (put(code(v.DOCUMENT_CLASS_CODE), "classifiedObject", "Other"), "@classifiedObject"),
    (put(identifier(v.DOCUMENT_UNIQUE_ID), "registryObject", "Other"), "@registryObject"),
    (put("//rim:Association[1]", "associationType", "urn:x:HasMember"), "/@associationType"),
    (drop("//rim:Association[1]"), "rim:ExtrinsicObject"),
    (put(value("SubmissionSetStatus", "//rim:Association"), "", "Maybe"), "SubmissionSetStatus"),
    (put(DOC, "home", "1.2.3"), "/@home"),
]


def sent_with_folder(patient: str) -> etree._Element:
    return request(with_folder(of(patient, "one"), folder(patient)))


def refused(here: Trial, registrar: Registrar, body: etree._Element) -> list[tuple[str, str]]:
    """Send what must be refused; nothing may be kept of it."""
    before = rows(here)
    answer = registrar.send(body)
    assert wire.status(answer) == "Failure"
    for one in answer.iter("{*}RegistryError"):
        assert " / " in one.get("codeContext")
        assert one.get("severity").endswith("Error")
    assert rows(here) == before
    return refusals(answer)


@pytest.mark.parametrize("path", MISSING)
def test_a_missing_attribute_is_refused_by_its_place(
    here: Trial, registrar: Registrar, patient: str, path: str
) -> None:
    body = sent_with_folder(patient)
    step = path.rpartition("/")[2]
    drop(path)(body)
    found = refused(here, registrar, body)
    assert METADATA in {code for code, _ in found}
    assert any(place.endswith(step) for _, place in found), found


def test_the_hash_of_nothing_needs_its_size_as_well(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    body = sent_with_folder(patient)
    put(value("hash"), "", SHA1_OF_NOTHING)(body)
    drop(slot("size"))(body)
    ((code, place),) = refused(here, registrar, body)
    assert code == METADATA
    assert place.endswith(slot("size").rpartition("/")[2])
    body = sent_with_folder(patient)
    put(value("hash"), "", SHA1_OF_NOTHING)(body)
    put(value("size"), "", "0")(body)
    assert wire.status(registrar.send(body)) == "Success"


@pytest.mark.parametrize(("change", "place"), WRONG)
def test_a_wrong_value_is_refused_by_its_place(
    here: Trial,
    registrar: Registrar,
    patient: str,
    change: Callable[[etree._Element], None],
    place: str,
) -> None:
    body = sent_with_folder(patient)
    change(body)
    found = refused(here, registrar, body)
    assert any(code == METADATA and place in where for code, where in found), found


def test_all_that_is_wrong_is_said_at_once(here: Trial, registrar: Registrar, patient: str) -> None:
    body = sent_with_folder(patient)
    for change in (
        drop(slot("languageCode")),
        drop(code(v.DOCUMENT_TYPE_CODE)),
        put(DOC, "mimeType", "x/y"),
        put(identifier(v.FOLDER_PATIENT_ID, FOL), "value", "P-9^^^&1.2.3&ISO"),
    ):
        change(body)
    codes = [code for code, _ in refused(here, registrar, body)]
    assert (
        sorted(set(codes)) == sorted([METADATA, "XDSPatientIdDoesNotMatch"])
        or "XDSUnknownPatientId" in codes
    )
    assert codes.count(METADATA) == 3


def test_a_place_is_an_xpath_of_the_message(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    body = sent_with_folder(patient)
    put(code(v.DOCUMENT_CLASS_CODE), "nodeRepresentation", "nonsense")(body)
    ((_, place),) = refused(here, registrar, body)
    (found,) = body.xpath(place, namespaces={"rim": wire.RIM})
    assert found.get("nodeRepresentation") == "nonsense"


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


def test_limited_metadata_may_leave_codes_out(registrar: Registrar, patient: str) -> None:
    body = request(of(patient, "one", limited_metadata=True))
    for scheme in (*DOCUMENT_CODES, ""):
        drop(code(scheme))(body)
    drop(slot("sourcePatientId"))(body)
    answer = registrar.send(body)
    assert wire.status(answer) == "Success", refusals(answer)
    got = registrar.query(wire.GET_DOCUMENTS, ("$XDSDocumentEntryEntryUUID", f"('{urn('one')}')"))
    path = f"//rim:Classification[@classificationNode='{v.DOCUMENT_LIMITED}']"
    assert len(got.xpath(path, namespaces={"rim": wire.RIM})) == 1


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
