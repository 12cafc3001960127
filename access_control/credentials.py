"""Passwords, passcodes and random tokens: how they are made, hashed and compared (RFC 9106)."""

import hashlib
import secrets
import threading
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LONGEST_SECRET = 1024
_AT_ONCE = 2
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that reads like something else
_GROUPS, _GROUP_LENGTH = 3, 5


@dataclass(frozen=True)
class HashingCost:
    """Cost of one argon2id hash; the default takes about 30 ms of one core and 19 MiB."""

    time_cost: int = 2
    memory_kib: int = 19_456


class SecretHasher:
    """Hashes secrets that people remember, with argon2id; every comparison costs the same.

    However many sign in at once, two hashes are computed at a time: a flood of guesses waits and
    takes neither the memory nor every core. Making a hasher hashes once, so make one and keep it.
    """

    def __init__(self, cost: HashingCost | None = None) -> None:
        cost = cost or HashingCost()
        self._argon2 = PasswordHasher(
            time_cost=cost.time_cost, memory_cost=cost.memory_kib, parallelism=1
        )
        self._turn = threading.BoundedSemaphore(_AT_ONCE)
        self._nobody = self.hash(new_token())

    def hash(self, secret: str) -> str:
        """Return the encoded hash of `secret`, with a salt of its own."""
        with self._turn:
            return self._argon2.hash(_bytes(secret))

    def matches(self, stored: str | None, secret: str) -> bool:
        """Say whether `secret` is what was hashed; with no stored hash False, after equal work."""
        usable = bool(stored) and len(secret) <= LONGEST_SECRET
        compared = stored if stored and usable else self._nobody
        try:
            with self._turn:
                self._argon2.verify(compared, _bytes(secret[:LONGEST_SECRET]))
        except (VerificationError, InvalidHashError):
            return False
        return usable

    def is_outdated(self, stored: str) -> bool:
        """Say whether `stored` was hashed at another cost than today's."""
        return self._argon2.check_needs_rehash(stored)


def new_token() -> str:
    """Return 256 random bits as 43 characters that fit an address or a cookie."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """Return what is stored of a random token; random bits need neither salt nor slowness."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def new_password() -> str:
    """Return a random password of 74 bits that can be read aloud: `k7mpw-3xq9t-hd5zr`."""
    return "-".join(
        "".join(secrets.choice(_LETTERS) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS)
    )


def new_passcode(digits: int) -> str:
    """Return a random passcode of `digits` digits, none that people would try first."""
    while True:
        passcode = "".join(secrets.choice("0123456789") for _ in range(digits))
        if not is_plain_row(passcode):
            return passcode


def is_plain_row(passcode: str) -> bool:
    """Say whether ASCII digits are all alike, or only count up or down: 000000, 123456, 987654."""
    steps = {int(after) - int(before) for before, after in pairwise(passcode)}
    return len(steps) == 1 and steps <= {-1, 0, 1}


def _bytes(secret: str) -> bytes:
    """The same secret typed on another keyboard gives the same bytes (NFKC, as RFC 8265)."""
    return unicodedata.normalize("NFKC", secret).encode("utf-8", "surrogatepass")
