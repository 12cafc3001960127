"""The words of the node: who calls, and what became of what they sent."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

from access_control.model import NO_REFUSALS, Action, Purpose, Refusals, Resource, Site
from access_control.policy import decide
from image_archive.model import InstanceOrigin


@dataclass(frozen=True)
class Caller:
    """The admitted end of an association: its site, how it calls itself and us, and from where."""

    site: Site
    calling_ae_title: str
    called_ae_title: str
    address: str

    @cached_property
    def origin(self) -> InstanceOrigin:
        """What the archive keeps of where an instance came from."""
        return InstanceOrigin(
            site_id=self.site.site_id,
            issuer=self.site.assigning_authority,
            calling_ae_title=self.calling_ae_title,
            called_ae_title=self.called_ae_title,
            source_address=self.address,
            charset_habit=self.site.used_charset,
        )

    @cached_property
    def may_store(self) -> bool:
        """Whether instances may be archived as this site's, decided once: it depends on no more."""
        own = Resource("study", origin_site_id=self.site.site_id)
        return decide(self.site.as_subject(), Action.STORE, own, Purpose.TREATMENT).allowed

    def may_query(self, refusals: Refusals = NO_REFUSALS) -> bool:
        """Tell whether queries are answered, or show somebody who refuses this much.

        Answers are narrowed to `searchable_sites`.
        """
        subject, anything = self.site.as_subject(), Resource("study", refusals=refusals)
        return decide(subject, Action.QUERY, anything, Purpose.TREATMENT).allowed

    @property
    def searchable_sites(self) -> frozenset[str] | None:
        """The sites whose studies this caller's queries see; None is the whole region."""
        return self.site.as_subject().sites


@dataclass(frozen=True)
class Query:
    """A request with an identifier: C-FIND, C-MOVE or C-GET, as it came.

    `extended` is the application information agreed for its SOP class, empty without any.
    """

    sop_class_uid: str
    transfer_syntax_uid: str
    identifier: bytes
    extended: bytes = b""


@dataclass
class Tally:
    """What happened inside one association: how many messages had which outcome."""

    outcomes: Counter[str] = field(default_factory=Counter)

    def count(self, outcome: str) -> None:
        """Note one message, as `stored`, `echo` or `refused 0xA700`."""
        self.outcomes[outcome] += 1

    def __str__(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in sorted(self.outcomes.items()))
