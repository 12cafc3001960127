"""At an edge: speak to the hub every few seconds — what is here, what it did with it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_gateway import marks, reasons
from edge_gateway.client import HubClient
from edge_gateway.errors import EdgeError, LineDownError, NotAdmittedError, UnprovenHubError
from edge_gateway.marks import Marks
from edge_gateway.model import Comparison, Difference, EdgeFigures
from edge_gateway.own_ledger import OwnLedger

log = logging.getLogger(__name__)


@dataclass
class Reporter:
    """Tells the hub what this edge holds and asks how far it is there. Run by one thread at a time.

    A contact that fails costs nothing: what was not told is told next time.
    """

    client: HubClient
    ledger: OwnLedger
    marks: Marks
    figures: Callable[[], EdgeFigures]
    _asked: tuple[str, ...] = field(default=())
    _etag: str = ""

    def contact(self) -> bool:
        """Speak to the hub once; return whether it answered."""
        try:
            self._report()
            self._ask()
        except EdgeError as error:
            self._note_reason(reason_of(error))
            return False
        self._note_reason("")
        self.marks.put(marks.CONTACT)
        return True

    def compare(self, progress: Callable[[int, int], None]) -> Comparison:
        """Compare everything this edge ever received with the hub, page by page.

        Raises:
            EdgeError: the hub was not reached or does not know this edge.
        """
        total, compared = self.ledger.count(), 0
        found: dict[Difference, None] = {}
        studies: set[str] = set()
        for page in self.ledger.pages():
            found.update(dict.fromkeys(self.client.compare(page)))
            studies.update(one.study_instance_uid for one in page)
            compared += len(page)
            progress(compared, max(total, compared))
        result = Comparison(compared, len(studies), tuple(found))
        self.marks.put(marks.COMPARED, str(len(result.differences)))
        return result

    def _report(self) -> None:
        through = int(self.marks.get(marks.REPORTED_THROUGH) or 0)
        while True:
            page = self.ledger.since(through)
            self.client.report(self.figures(), page.instances)
            if not page.instances:
                return
            through = page.through
            self.marks.put(marks.REPORTED_THROUGH, str(through))

    def _ask(self) -> None:
        wanted = tuple(self.ledger.unsettled_studies())
        if not wanted:
            return
        answer = self.client.studies(wanted, self._etag if wanted == self._asked else "")
        if answer is None:
            return
        self.ledger.note(answer.studies)
        self._asked, self._etag = wanted, answer.etag

    def _note_reason(self, reason: str) -> None:
        if self.marks.get(marks.REPORT_REASON) != reason:
            log.warning("contact with the hub", extra={"reason": reason or "well again"})
            self.marks.put(marks.REPORT_REASON, reason)


def reason_of(error: EdgeError) -> str:
    """Return the word for what went wrong with the hub."""
    if isinstance(error, NotAdmittedError):
        return reasons.NOT_ADMITTED
    if isinstance(error, UnprovenHubError):
        return error.reason
    if isinstance(error, LineDownError):
        return reasons.LINE_DOWN
    return reasons.HUB_NOT_READY
