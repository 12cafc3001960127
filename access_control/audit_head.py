"""The head of the audit trail, kept outside the database that it vouches for.

Who empties or sets back the database cannot set back this file, which lies beside the audit key:
who can write here has the key anyway, so the file carries no code of its own.
"""

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from access_control.errors import KeptHeadError
from access_control.secrets import sync_directory

_LINE = re.compile(r"([0-9]{1,18}) ([0-9a-f]{64})\n")
_LONGEST = 100


@dataclass(frozen=True)
class AuditHead:
    """How long the chain is and how it ends; kept elsewhere, it proves later that nothing went."""

    sequence: int
    mac: str


class HeadKeeper:
    """Keeps one head in the file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def kept(self) -> AuditHead | None:
        """Return the head kept last; None when none ever was.

        Raises:
            KeptHeadError: the file cannot be read or holds something else.
        """
        try:
            with self._path.open("rb") as file:
                line = _LINE.fullmatch(file.read(_LONGEST).decode("ascii", "replace"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeptHeadError(f"{self._path.name}: {error.strerror}") from error
        if line is None:
            raise KeptHeadError(f"{self._path.name}: holds something else than a head")
        return AuditHead(int(line[1]), line[2])

    def keep(self, head: AuditHead) -> None:
        """Replace the kept head in one step; it survives a power cut from the moment of return.

        Raises:
            OSError: it cannot be written; the head kept before still stands.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(f"{head.sequence} {head.mac}\n".encode("ascii"))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(self._path.parent)
