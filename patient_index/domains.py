"""Assigning authorities as data: who issues which identifiers (HL7 HD; ITI TF-2 3.8.4.1.2.3).

A domain is known from the settings, from the sites, or because it is the hub's own. Nothing else
may be used: an identifier of an unknown issuer could be anybody's.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hub_kernel.errors import ConfigurationError, InvalidValueError
from hub_kernel.identifiers import AssigningAuthority
from patient_index.errors import ForeignDomainError, UnknownDomainError

_SITES_LAST_S = 1.0
_KEYS = {"namespace", "oid", "senders", "may_assign"}


@dataclass(frozen=True)
class Domain:
    """One assigning authority. `senders` ("APP|FACILITY", or a site) may issue in its name."""

    namespace: str
    oid: str
    senders: tuple[str, ...] = ()
    may_assign: bool = True

    @property
    def authority(self) -> AssigningAuthority:
        """The domain as the issuer of identifiers."""
        return AssigningAuthority(self.namespace, self.oid)


@dataclass(frozen=True)
class _Known:
    """The domains of one moment, by each of their names."""

    by_oid: Mapping[str, Domain]
    by_namespace: Mapping[str, Domain]


class DomainDirectory:
    """Every domain the region knows; sites added by another process are seen within a second.

    `of_sites` returns the domains of the sites (asked at most once a second); `own` is the domain
    of global IDs, which the hub alone issues. Where several speak of one OID, the first of
    `configured` names it, and all of their senders may issue.
    """

    def __init__(
        self,
        configured: Iterable[Domain] = (),
        of_sites: Callable[[], Iterable[Domain]] = tuple,
        *,
        own: AssigningAuthority | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configured = tuple(configured)
        self._own = own
        self._of_sites = of_sites
        self._monotonic = monotonic
        self._known: _Known | None = None
        self._known_until = 0.0

    def all(self) -> tuple[Domain, ...]:
        """Return every domain, in the order of configuration."""
        return tuple(self._now().by_oid.values())

    def complete(self, namespace: str, oid: str = "") -> Domain:
        """Return the domain that a namespace, an OID or both name; one fills in the other.

        Raises:
            UnknownDomainError: nothing was named, nothing of that name is known, or the two name
                different domains.
        """
        known = self._now()
        namespace, oid = namespace.strip(), oid.strip()
        found = known.by_oid.get(oid) if oid else known.by_namespace.get(namespace)
        if found is None:
            raise UnknownDomainError("the assigning authority is missing or not known here")
        if oid and namespace and known.by_namespace.get(namespace, found) != found:
            raise UnknownDomainError(
                "the assigning authority's namespace and OID name different authorities"
            )
        return found

    def of_sender(self, sender: str) -> tuple[Domain, ...]:
        """Return the domains that this sender ("APP|FACILITY", or a site) may issue in."""
        return tuple(domain for domain in self.all() if self.may_assign(sender, domain))

    def may_assign(self, sender: str, domain: Domain) -> bool:
        """Tell whether the sender issues identifiers of this domain."""
        return domain.may_assign and sender in domain.senders

    def require_may_assign(self, sender: str, domain: Domain) -> None:
        """Let only a domain's own senders issue in it.

        Raises:
            ForeignDomainError: the domain is another's.
        """
        if not self.may_assign(sender, domain):
            raise ForeignDomainError(
                f"this sender may not issue identifiers of {domain.namespace} ({domain.oid})"
            )

    def _now(self) -> _Known:
        known = self._known
        if known is None or self._monotonic() >= self._known_until:
            known = _known([*self._configured, *self._of_sites(), *self._own_domain()])
            self._known = known
            self._known_until = self._monotonic() + _SITES_LAST_S
        return known

    def _own_domain(self) -> tuple[Domain, ...]:
        own = self._own
        return (Domain(own.namespace, own.oid, (), may_assign=False),) if own else ()


def domains_from_tables(tables: Iterable[Mapping[str, object]]) -> tuple[Domain, ...]:
    """Return the domains that `[[identity.domains]]` tables describe.

    Raises:
        ConfigurationError: a key is unknown, missing or ill-typed, or two tables name one OID or
            one namespace.
    """
    domains = tuple(_from_table(number, table) for number, table in enumerate(tables, start=1))
    for name in ("oid", "namespace"):
        values = [getattr(domain, name) for domain in domains]
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise ConfigurationError(f"identity.domains: two tables with {name} {min(twice)}")
    return domains


def _from_table(number: int, table: Mapping[str, object]) -> Domain:
    where = f"identity.domains, table {number}"
    if unknown := set(table) - _KEYS:
        raise ConfigurationError(f"{where}: unknown key {min(unknown)}; allowed: {sorted(_KEYS)}")
    senders = table.get("senders", ())
    may_assign = table.get("may_assign", True)
    if not isinstance(senders, list | tuple) or not isinstance(may_assign, bool):
        raise ConfigurationError(f"{where}: senders is a list of texts, may_assign true or false")
    domain = Domain(
        str(table.get("namespace", "")),
        str(table.get("oid", "")),
        tuple(map(str, senders)),
        may_assign=may_assign,
    )
    try:
        _ = domain.authority
    except InvalidValueError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    return domain


def _known(domains: Iterable[Domain]) -> _Known:
    by_oid: dict[str, Domain] = {}
    for domain in domains:
        first = by_oid.get(domain.oid)
        by_oid[domain.oid] = _joined(first, domain) if first else domain
    by_namespace: dict[str, Domain] = {}
    ambiguous: set[str] = set()
    for domain in by_oid.values():
        if domain.namespace in by_namespace:
            ambiguous.add(domain.namespace)
        by_namespace[domain.namespace] = domain
    # A name that two authorities share names neither: only the OID tells them apart.
    for namespace in ambiguous:
        del by_namespace[namespace]
    return _Known(by_oid, by_namespace)


def _joined(first: Domain, other: Domain) -> Domain:
    senders = tuple(dict.fromkeys((*first.senders, *other.senders)))
    return Domain(first.namespace, first.oid, senders, first.may_assign)
