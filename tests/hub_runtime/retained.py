"""Studies of long ago and of today, for what is deleted when its term is over."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from hub_runtime.hub import Hub
from image_archive.deletion import Reasons
from image_archive.tables import INSTANCE, SERIES, STUDY
from tests.viewer_api.region import Shown, sample, store

ROOT = "2.25.7200"
REASONS = Reasons("cli:li", "term over")
TODAY = datetime.now(UTC).date()
LONG_AGO = "20080229"


def taken(hub: Hub, number: int, patient_id: str, made: str = LONG_AGO, years: int = 16) -> Shown:
    """Store one study of that date, received so many years ago."""
    shown = store(
        hub,
        "sijing",
        sample(
            "CT_small.dcm",
            PatientID=patient_id,
            PatientName=f"Retained^{patient_id}",
            PatientBirthDate="",
            AccessionNumber=f"R{number}",
            StudyInstanceUID=f"{ROOT}.{number}",
            SeriesInstanceUID=f"{ROOT}.{number}.1",
            SOPInstanceUID=f"{ROOT}.{number}.1.1",
            StudyDate=made,
        ),
    )
    hub.archive.settled()
    then = hub.database.clock.now() - timedelta(days=366 * years)
    with hub.database.unit_of_work() as work:
        study = select(STUDY.c.id).where(STUDY.c.study_instance_uid == shown.study)
        for table, mine in (
            (STUDY, STUDY.c.id.in_(study)),
            (SERIES, SERIES.c.study_row_id.in_(study)),
            (INSTANCE, INSTANCE.c.sop_instance_uid == shown.instance),
        ):
            work.session.execute(update(table).where(mine).values(received_at=then))
        work.session.execute(
            update(STUDY).where(STUDY.c.id.in_(study)).values(last_received_at=then)
        )
    return shown


def complete(hub: Hub) -> None:
    with hub.database.unit_of_work() as work:
        work.session.execute(update(STUDY).values(state="complete"))
