"""A patient who is linked after the study was complete: its versions are made and filed once."""

from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select, update

from eir_versions.tables import EirVersionRow
from hub_kernel.outbox_tables import OutboxDelivery
from tests.eir_versions.hubs import slice_of
from tests.hub_runtime.filed_reports import Clinic, open_clinic
from xds_registry import store
from xds_registry.version_documents import is_version


def put_off(clinic: Clinic, hours: int, *subscribers: str) -> None:
    """Let what is owed to these be due in so many hours, or now."""
    due_at = clinic.hub.base.clock.now() + timedelta(hours=hours)
    owed = OutboxDelivery.subscriber.in_(subscribers)
    with clinic.hub.database.unit_of_work() as work:
        work.session.execute(update(OutboxDelivery).where(owed).values(due_at=due_at))


def made(clinic: Clinic, study: str) -> int:
    """Return how many versions of a study the ledger has, in force or not."""
    with clinic.hub.database.read() as session:
        of_study = EirVersionRow.study_instance_uid == study
        return session.scalar(select(func.count()).where(of_study)) or 0


def filed(clinic: Clinic, study: str) -> int:
    """Return how many entries of versions the registry has of a study, in force or not."""
    found = clinic.hub.index.study(study)
    assert found is not None
    with clinic.hub.database.read() as session:
        return sum(map(is_version, store.documents_of(session, [found.patient.cx])))


def test_a_link_that_comes_after_completion_makes_and_files_no_version_again(
    tmp_path: Path,
) -> None:
    clinic = open_clinic(tmp_path / "data")
    try:
        known = clinic.study()
        late = clinic.study(complete=False)
        put_off(clinic, 1, "patient-index")
        clinic.complete(late)
        patient = clinic.hub.index.study(late)
        assert patient is not None
        assert clinic.hub.patients.resolve(patient.patient) is None
        assert (made(clinic, late), filed(clinic, late)) == (3, 0), "the manifest waits"
        put_off(clinic, 0, "patient-index")
        clinic.deliver()
        put_off(clinic, 0, "xds_registry.manifest")
        clinic.deliver()
        newcomer = clinic.person(late)
        decision = clinic.merge(survivor=clinic.person(known), subsumed=newcomer)
        assert (made(clinic, late), filed(clinic, late)) == (3, 3)
        clinic.store(slice_of(1), late)
        clinic.complete(late)
        assert (made(clinic, late), filed(clinic, late)) == (6, 6), "of another generation"
        clinic.take_back(decision)
        assert clinic.person(late) == newcomer
        assert made(clinic, late) == filed(clinic, late) == 9, "the control: another's by now"
        assert clinic.drifts() == ()
    finally:
        clinic.hub.close()
