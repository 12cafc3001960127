"""A hub whose RIS and modalities send reports, and what of them is registered."""

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydicom.dataset import Dataset

from access_control.model import Role, Site
from hub_kernel.events import StudyCompleted, new_event
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.settings import Settings
from hub_kernel.tasks import deliver_all_due
from hub_runtime.bootstrap import build_hub
from hub_runtime.commands.registry import verified_parts
from hub_runtime.hub import Hub
from image_archive.model import InstanceOrigin, StudyState
from patient_index.hl7v2.results import ReceivedResult
from patient_index.model import Decided
from tests.eir_versions.builders import part10
from tests.eir_versions.hubs import STUDY, slice_of
from tests.support.waiting import eventually
from xds_registry import store
from xds_registry.model import AssociationType, AvailabilityStatus, DocumentEntry
from xds_registry.report_documents import is_report
from xds_registry.verification import RegistryVerification
from xds_registry.verification_findings import Drift, RegistryReport

EAST = AssigningAuthority("EAST", "1.2.826.0.1.3680043.10.1717.913")
ORIGIN = InstanceOrigin("east", EAST, "EASTCT", "EIRHUB", "127.0.0.1")
SENDER = "RIS|EAST"
DECIDED = Decided("registrar", "the card was shown")
_RELATIONS = {AssociationType.APPENDS, AssociationType.REPLACES}


@dataclass
class Clinic:
    """A hub with one site and its RIS; every study is another patient's unless it is said whose."""

    hub: Hub
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def study(self, *documents: Dataset, patient: str = "", complete: bool = True) -> str:
        """Store a study with these documents beside its picture; return its UID."""
        number = next(self.numbers)
        uid = f"{STUDY}.913.{number}"
        patient = patient or f"AP{number}"
        self.store(slice_of(0), uid, patient)
        for one in documents:
            self.store(one, uid, patient)
        if complete:
            self.complete(uid)
        return uid

    def store(self, dataset: Dataset, study: str, patient: str = "") -> None:
        """Store a copy of `dataset` as one of `study`."""
        held = self.hub.index.study(study, with_rejected=True)
        dataset.PatientID = patient or (held.patient.value if held else "")
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName = f"Appended^{dataset.PatientID}=附^{dataset.PatientID}"
        dataset.AccessionNumber = f"ACC-{study.rpartition('.')[2]}"
        for element in dataset.iterall():
            said = str(element.value) if element.VR == "UI" else ""
            if said.startswith(f"{STUDY}.") and not said.startswith(f"{study}."):
                element.value = said.replace(STUDY, study, 1)
        dataset.StudyInstanceUID = study
        self.hub.archive.store_file(part10(dataset), ORIGIN)

    def complete(self, study: str, *, deliver: bool = True) -> None:
        """Wait until the study has gone quiet, and deliver what follows."""

        def is_complete() -> bool:
            self.hub.archive.complete_quiet_studies()
            held = self.hub.index.study(study, with_rejected=True)
            return held is not None and held.state is StudyState.COMPLETE

        eventually(is_complete)
        if deliver:
            self.deliver()

    def complete_again(self, study: str, generation: int) -> None:
        """Deliver a late copy of a completion."""
        self.publish(StudyCompleted, study, site_id="east", generation=generation)

    def publish(self, kind: type, study: str, **fields: object) -> None:
        """Publish an event about a study and deliver what follows."""
        with self.hub.database.unit_of_work() as work:
            work.publish(new_event(kind, work.clock, study_instance_uid=study, **fields))
        self.deliver()

    def deliver(self) -> None:
        deliver_all_due(self.hub.database, self.hub.base.outbox)

    def tell(self, study: str, text: str, status: str = "F", *, deliver: bool = True, **fields):  # type: ignore[no-untyped-def]
        """Take a result of the study's order as the HL7 door does; the text names its message."""
        held = self.hub.index.study(study, with_rejected=True)
        patient = held.patient.value if held else fields.pop("patient")
        said: dict[str, object] = {
            "message_key": f"{study}:{text}",
            "sender": SENDER,
            "order_key": f"O-{study}:CT",
            "status": status,
            "title": "胸部CT报告",
            "author": "李医师",
            "issued_at": datetime(2026, 3, 1, 10, 0, next(self.numbers) % 60, tzinfo=UTC),
            "study_instance_uid": study,
            "accession_numbers": (),
            "patients": (PatientIdentifier(patient, EAST),),
            "paragraphs": (("影像所见", text), ("", "续"), ("诊断意见", "未见异常")),
        }
        result = ReceivedResult(**{**said, **fields})  # type: ignore[arg-type]
        self.hub.eir.reports.take_result(result, lambda _session, _words: None)
        if deliver:
            self.deliver()

    def entries(self, study: str) -> list[DocumentEntry]:
        """Return every entry of the hub's own reports on a study, in force or not."""
        found = self.hub.index.study(study, with_rejected=True)
        assert found is not None
        with self.hub.database.read() as session:
            everything = store.documents_of(session, [found.patient.cx])
        return [
            one
            for one in everything
            if is_report(one) and any(ref.cxi.startswith(f"{study}^") for ref in one.reference_ids)
        ]

    def in_force(self, study: str) -> list[DocumentEntry]:
        approved = AvailabilityStatus.APPROVED
        return [one for one in self.entries(study) if one.status == approved]

    def the_one(self, study: str) -> DocumentEntry:
        (entry,) = self.in_force(study)
        return entry

    def person(self, study: str) -> str:
        """Return the global ID of the study's patient."""
        found = self.hub.index.study(study)
        assert found is not None
        global_id = self.hub.patients.resolve(found.patient)
        assert global_id is not None
        return global_id

    def merge(self, *, survivor: str, subsumed: str) -> int:
        """Let a registrar merge two people, and deliver what follows; return the decision."""
        outcome = self.hub.patients.merge(survivor, subsumed, DECIDED)
        assert outcome.decision_id is not None
        self.deliver()
        return outcome.decision_id

    def take_back(self, decision: int) -> None:
        self.hub.patients.take_back(decision, DECIDED)
        self.deliver()

    def manifest(self, study: str) -> DocumentEntry:
        found = self.hub.registry.manifest_of(study)
        assert found is not None
        return found

    def relations(self, entry: DocumentEntry) -> set[tuple[AssociationType, str]]:
        with self.hub.database.read() as session:
            found = store.associations_of(session, [entry.entry_uuid], _RELATIONS)
        mine = entry.entry_uuid
        return {(one.association_type, one.target) for one in found if one.source == mine}

    def data(self, entry: DocumentEntry) -> bytes:
        opened = self.hub.registry.documents.open(entry.unique_id)
        assert opened is not None
        assert opened.media_type == entry.mime_type
        return b"".join(opened.chunks())

    def verify(self) -> RegistryReport:
        return RegistryVerification(verified_parts(self.hub), lambda _d, _t: None).run()

    def drifts(self) -> tuple[Drift, ...]:
        return self.verify().drifts

    def token(self, name: str, sites: frozenset[str] | None) -> str:
        clock = self.hub.base.clock
        expires = clock.now().replace(year=clock.now().year + 1, day=1)
        return self.hub.access.tokens.create(name, {Role.RADIOLOGIST}, sites, expires)


def open_clinic(folder: Path, **registry: object) -> Clinic:
    """Return a clinic over a new hub in `folder`; `registry` are settings. Close its hub."""
    domains = [{"namespace": EAST.namespace, "oid": EAST.oid, "senders": [SENDER]}]
    settings = Settings.model_validate(
        {
            "hub": {"data_dir": folder},
            "study": {"quiet_period_s": 0.001},
            "identity": {"domains": domains},
            "registry": registry,
        }
    )
    hub = build_hub(settings)
    hub.open()
    site = Site("east", "东", "East", "East", "township", ("EASTCT",), ("127.0.0.1/32",), EAST)
    hub.access.sites.add(site)
    return Clinic(hub)
