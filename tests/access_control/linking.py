"""A shared link in tests: its study, its hub's key, and how it is guessed at."""

import pytest

from access_control.errors import LinkRefusedError
from access_control.shared_links import SharedLinks

KEY = b"l" * 32
STUDY = "1.2.840.1"
PHONE = "203.0.113.7"
WRONG = "000000"


def fail(links: SharedLinks, token: str, times: int, passcode: str = WRONG) -> None:
    """Open the link so many times, each time in vain."""
    for _ in range(times):
        with pytest.raises(LinkRefusedError):
            links.open(token, passcode, PHONE)
