"""What opens the diagnostic viewer: one reader, one person, for as long as the reader's session.

Nothing is stored. A token names a session of the hub and an identifier of the person, and is signed
with a key that is not in the database; what it opens is decided anew on every request, with the
reader's rights and the person's consent of that moment. Signing out ends it.
"""

import base64
import binascii
import hmac
import json
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from access_control.model import Subject
from access_control.sessions import Sessions
from hub_kernel.clock import Clock
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier

_MAC_BYTES = 32
_LONGEST = 2_048


@dataclass(frozen=True)
class ViewerGrant:
    """What a token says: `grant_id` tells grants of one browser apart and is no secret."""

    grant_id: str
    session: str
    patient: PatientIdentifier
    ends_at: datetime


class ViewerGrants:
    """Gives and reads the tokens of the diagnostic viewer; they last `lifetime_s` and are renewed.

    Two hubs with different keys never take each other's tokens.
    """

    def __init__(
        self, sessions: Sessions, clock: Clock, key: bytes, *, lifetime_s: float = 900.0
    ) -> None:
        self._sessions = sessions
        self._clock = clock
        self._key = key
        self._lifetime = timedelta(seconds=lifetime_s)

    def give(self, session_token: str, patient: PatientIdentifier) -> str:
        """Return a token for the studies of the person known as `patient`.

        Whether the reader may see that person is asked on every use, not here.
        """
        ends_at = self._clock.now() + self._lifetime
        session = self._sessions.reference(session_token)
        return self._signed(ViewerGrant(secrets.token_hex(16), session, patient, ends_at))

    def read(self, token: str) -> ViewerGrant | None:
        """Return what `token` says, None when it is not ours or has run out."""
        if len(token) > _LONGEST:
            return None
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii"))
        except (UnicodeError, binascii.Error):
            return None
        mac, said = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(said)):
            return None
        grant_id, session, value, namespace, oid, ends = json.loads(said)
        patient = PatientIdentifier(value, AssigningAuthority(namespace, oid))
        grant = ViewerGrant(grant_id, session, patient, datetime.fromtimestamp(ends, UTC))
        return grant if grant.ends_at > self._clock.now() else None

    def renewed(self, grant: ViewerGrant) -> str | None:
        """Return a later token for `grant` once half its time has passed."""
        now = self._clock.now()
        if grant.ends_at - now > self._lifetime / 2:
            return None
        return self._signed(replace(grant, ends_at=now + self._lifetime))

    def subject(self, grant: ViewerGrant) -> Subject | None:
        """Return the reader with today's rights, bound to the person; None after signing out."""
        reader = self._sessions.subject_of(grant.session)
        return replace(reader, bound_patient=grant.patient) if reader else None

    def _signed(self, grant: ViewerGrant) -> str:
        patient = grant.patient
        said = json.dumps(
            [
                grant.grant_id,
                grant.session,
                patient.value,
                patient.issuer.namespace,
                patient.issuer.oid,
                int(grant.ends_at.timestamp()),
            ]
        ).encode()
        return base64.urlsafe_b64encode(self._mac(said) + said).decode("ascii")

    def _mac(self, said: bytes) -> bytes:
        return hmac.digest(self._key, b"eirhub viewer\0" + said, "sha256")
