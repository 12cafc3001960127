"""What replaces identity in one project: the same person, UID and day always give the same.

Everything follows from the project's key by HMAC, so nothing has to be remembered, an export can be
repeated byte for byte, and two projects cannot be joined by their pseudonyms.
"""

import base64
import hmac
import re
from dataclasses import dataclass, field
from datetime import date, timedelta

from hub_kernel.errors import InvalidValueError

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_STANDARD_UIDS = "1.2.840.10008."
_LONGEST_SHIFT_DAYS = 3650
_LEAST_SHIFT_DAYS = 30


@dataclass(frozen=True)
class ProjectKey:
    """The secret of one project, derived from the hub's own: 32 bytes, kept nowhere."""

    project: str
    secret: bytes = field(repr=False)

    @classmethod
    def derive(cls, master: bytes, project: str) -> "ProjectKey":
        """Return the key of the project.

        Raises:
            InvalidValueError: the project's name has other characters or is too long.
        """
        if not _PROJECT.fullmatch(project):
            raise InvalidValueError("project: 1 to 32 of A-Z, a-z, 0-9, dot, underscore and hyphen")
        return cls(project, hmac.digest(master, b"project\0" + project.encode(), "sha256"))

    def uid(self, original: str) -> str:
        """Return the UID that stands for `original` (PS3.5 B.2); the standard's own stay."""
        if original.startswith(_STANDARD_UIDS):
            return original
        return f"2.25.{int.from_bytes(self._digest('uid', original)[:16], 'big')}"

    def subject(self, person: str) -> "PseudonymousSubject":
        """Return who `person` is in the project; `person` is any name the hub gives only to him."""
        digest = self._digest("subject", person)
        word = base64.b32encode(digest[:10]).decode("ascii")
        span = _LONGEST_SHIFT_DAYS - _LEAST_SHIFT_DAYS
        days = _LEAST_SHIFT_DAYS + int.from_bytes(digest[10:18], "big") % span
        return PseudonymousSubject(f"{self.project}-{word}"[:64], -days)

    def _digest(self, what: str, value: str) -> bytes:
        return hmac.digest(self.secret, f"{what}\0{value}".encode("utf-8", "replace"), "sha256")


@dataclass(frozen=True)
class PseudonymousSubject:
    """A person in a project: the word that stands for name and number, and how far days move."""

    subject_id: str
    shift_days: int = field(repr=False)

    def shifted_day(self, value: str) -> str:
        """Return a DA or DT value moved by whole days, time of day and zone as they were.

        A value that is no date becomes empty: nothing is known about what it says.
        """
        digits = value.strip().replace(".", "") if value.strip().count(".") == 2 else value.strip()
        if not re.fullmatch(r"\d{8}(\d{2,6}(\.\d{1,6})?)?([+-]\d{4})?", digits):
            return ""
        try:
            day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
            moved = day + timedelta(days=self.shift_days)
        except (ValueError, OverflowError):
            return ""
        return f"{moved:%Y%m%d}".zfill(8) + digits[8:]
