"""Whether a new study's patient can be the person known by that identifier at all.

A mistyped name or date is common and settles itself; both together are another person under the
same number, which no study may be filed under before somebody has looked.
"""

from sqlalchemy import select

from hub_kernel.database import Database
from hub_kernel.events import ObservedPatient
from patient_index import queries
from patient_index.link_rules import Evidence, Observation, is_somebody_else
from patient_index.tables import KnownIdentifier, ObservedDemographics

_MOST_LOOKED_AT = 50


class Contradictions:
    """Compares what is said of a patient with every statement under the same identifier."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, patient: ObservedPatient) -> bool:
        """Return whether each earlier statement is about somebody else; False without any."""
        said = Evidence((Observation(patient.name, patient.birth_date, patient.sex),))
        rows = (
            select(ObservedDemographics)
            .join(KnownIdentifier, KnownIdentifier.id == ObservedDemographics.identifier_id)
            .where(queries.is_identifier(patient.identifier))
            .order_by(ObservedDemographics.id.desc())
            .limit(_MOST_LOOKED_AT)
        )
        with self._database.read() as session:
            earlier = [queries.observation(row) for row in session.scalars(rows)]
        return bool(earlier) and all(is_somebody_else(Evidence((one,)), said) for one in earlier)
