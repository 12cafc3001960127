"""The secrets of a SMART Health Link: derived from the link's token, stored nowhere (RFC 5869).

The key that encrypts its files takes two things to know: the token, of which the database has the
hash alone, and the hub's secret, which is not in the database.
"""

import hmac
from datetime import timedelta

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from access_control.shared_links import LinkGrant, SharedLinks
from hub_kernel.clock import Clock

_FILE_KEY, _TICKET_KEY = b"eirhub health link file", b"eirhub health link ticket"
_KEY_BYTES = 32


class HealthLinks:
    """Makes and checks what apps need beside token and passcode; `key` is that of the links.

    A ticket fetches the file of a link for `ticket_s` seconds without its passcode. The
    specification allows an hour at most.
    """

    def __init__(
        self, links: SharedLinks, clock: Clock, key: bytes, *, ticket_s: float = 600.0
    ) -> None:
        self._links = links
        self._clock = clock
        self._key = key
        self._life = timedelta(seconds=ticket_s)

    def file_key(self, token: str) -> bytes:
        """Return the 32 bytes that encrypt every file of the link of `token`."""
        return self._derived(token, _FILE_KEY)

    def ticket(self, token: str) -> str:
        """Return a ticket for the file of a link that has just been opened."""
        ends = str(int((self._clock.now() + self._life).timestamp()))
        return f"{ends}-{self._mac(token, ends)}"

    def admitted(self, token: str, ticket: str) -> LinkGrant | None:
        """Return what `ticket` opens; None once it is over, its link is dead, or it is not ours."""
        ends, _, mac = ticket.partition("-")
        if not hmac.compare_digest(mac.encode("utf-8", "replace"), self._mac(token, ends).encode()):
            return None
        # Only what carries our own mark is read as a number.
        if int(ends) <= self._clock.now().timestamp():
            return None
        return self._links.behind(token)

    def _mac(self, token: str, ends: str) -> str:
        said = ends.encode("utf-8", "replace")
        return hmac.new(self._derived(token, _TICKET_KEY), said, "sha256").hexdigest()

    def _derived(self, token: str, purpose: bytes) -> bytes:
        salt = token.encode("utf-8", "surrogatepass")
        return HKDF(SHA256(), _KEY_BYTES, salt=salt, info=purpose).derive(self._key)
