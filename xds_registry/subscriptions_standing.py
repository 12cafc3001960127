"""Who a subscriber is today: a subscription outlives the request, but not the right to ask."""

from collections.abc import Callable, Iterator

from access_control.certificates import MachineCertificate, MachineCertificates
from access_control.model import Subject, SubjectKind
from access_control.tokens import MachineToken, MachineTokens
from hub_kernel.database import Database

Nobody = Callable[[], Subject | None]
"""Who asks without showing anything: the trial machine where the hub has one, else None."""


class Standings:
    """Finds machines by the identifier of their token or certificate."""

    def __init__(self, database: Database, nobody: Nobody) -> None:
        self._clock = database.clock
        self._tokens = MachineTokens(database, database.clock)
        self._certificates = MachineCertificates(database, database.clock)
        self._nobody = nobody

    def subject(self, subject_id: str) -> Subject | None:
        """Return the machine with the rights it has now; None once its credential has ended.

        None too for who was named by an assertion: such a proof holds for one request, and nothing
        here knows whether it would be given again.
        """
        for known_id, known in self._known():
            if known_id == subject_id:
                return self._machine(subject_id, known)
        trial = self._nobody()
        return trial if trial is not None and trial.subject_id == subject_id else None

    def _known(self) -> Iterator[tuple[str, MachineToken | MachineCertificate]]:
        for token in self._tokens.all():
            yield token.token_id, token
        for certificate in self._certificates.all():
            yield certificate.certificate_id, certificate

    def _machine(self, subject_id: str, known: MachineToken | MachineCertificate) -> Subject | None:
        if known.revoked_at is not None or known.expires_at <= self._clock.now():
            return None
        return Subject(
            SubjectKind.MACHINE, subject_id, known.name, roles=known.roles, sites=known.sites
        )
