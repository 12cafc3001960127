"""Each class of status means one thing for the ledger, and what is unknown waits for a person."""

import pytest

from dicom_router.forwarding.verdicts import HTTP_STATUSES, Verdict, verdict_of


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, Verdict.ACCEPTED),
        (0xB000, Verdict.NOTED),
        (0xB007, Verdict.NOTED),
        (0xA700, Verdict.RETRY),
        (0xA7FF, Verdict.RETRY),
        (0x0110, Verdict.RETRY),
        (0xA900, Verdict.PARK),
        (0xC000, Verdict.PARK),
        (0xCFFF, Verdict.PARK),
        (0x0111, Verdict.PARK),
        (0x0122, Verdict.PARK),
        (0x1234, Verdict.PARK),
        (0xA800, Verdict.PARK),
    ],
)
def test_a_store_status_has_the_verdict_of_its_class(status: int, verdict: Verdict) -> None:
    assert verdict_of(status).verdict is verdict


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.ACCEPTED),
        (202, Verdict.NOTED),
        (503, Verdict.RETRY),
        (401, Verdict.RETRY),
        (415, Verdict.PARK),
        (302, Verdict.PARK),
    ],
)
def test_an_http_status_has_the_verdict_of_its_class(status: int, verdict: Verdict) -> None:
    assert verdict_of(status, HTTP_STATUSES).verdict is verdict
