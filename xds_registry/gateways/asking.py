"""Ask several communities at once, each within the same time (ITI TF-2 3.38.4.1.1)."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.gateways.client import (
    CommunityAnswer,
    CommunityUnavailableError,
    Question,
)

_MOST_AT_ONCE = 16
_GRACE_S = 1.0

Ask = Callable[[Question], CommunityAnswer]


@dataclass(frozen=True)
class Asked:
    """One question and what came of it: an answer, or the refusals that stand for none."""

    question: Question
    answer: CommunityAnswer | None
    refusals: tuple[XdsRefusalError, ...] = ()


def ask_all(questions: Sequence[Question], ask: Ask, longest_s: float) -> list[Asked]:
    """Return what came of each question, in their order; a silent community holds up no other."""
    if not questions:
        return []
    workers = ThreadPoolExecutor(min(len(questions), _MOST_AT_ONCE), "gateway")
    try:
        futures = [workers.submit(ask, question) for question in questions]
        wait(futures, longest_s + _GRACE_S)
        return [_asked(*pair) for pair in zip(questions, futures, strict=True)]
    finally:
        workers.shutdown(wait=False, cancel_futures=True)


def _asked(question: Question, future: "Future[CommunityAnswer]") -> Asked:
    if not future.done():
        return Asked(question, None, _unavailable(question, "no answer in time"))
    try:
        return Asked(question, future.result())
    except CommunityUnavailableError as error:
        return Asked(question, None, _unavailable(question, str(error)))


def _unavailable(question: Question, why: str) -> tuple[XdsRefusalError, ...]:
    home = question.community.home_community_id
    return (XdsRefusalError(ErrorCode.UNAVAILABLE_COMMUNITY, home, came=why),)
