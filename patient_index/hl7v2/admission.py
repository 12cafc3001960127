"""Who may speak as whom: MSH-3|MSH-4 must be known, and come from where its peer rule says."""

import ipaddress
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass

from hub_kernel.errors import ConfigurationError
from patient_index.domains import DomainDirectory
from patient_index.hl7v2.exchange import Peer
from patient_index.hl7v2.problems import Location, RefusedMessageError

_KEYS = {"sender", "networks", "certificates"}


@dataclass(frozen=True)
class PeerRule:
    """Where a sender ("MSH-3|MSH-4") may connect from.

    `networks` are CIDR, `certificates` SHA-256 fingerprints of client certificates in hexadecimal;
    an empty list does not narrow.
    """

    sender: str
    networks: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()

    def admits(self, peer: Peer) -> bool:
        """Tell whether this rule lets the peer speak as the sender."""
        if self.certificates and peer.certificate not in self.certificates:
            return False
        address = ipaddress.ip_address(peer.address)
        return not self.networks or any(
            address in ipaddress.ip_network(network) for network in self.networks
        )


class Admission:
    """Admits senders that the domains name, from where a peer rule of theirs lets them come.

    A sender without a rule comes from loopback alone, or from `any_address`: what a message says
    of its sender proves nothing.
    """

    def __init__(
        self,
        domains: DomainDirectory,
        rules: Iterable[PeerRule] = (),
        *,
        any_address: bool = False,
    ) -> None:
        self._domains = domains
        self._any_address = any_address
        self._rules: dict[str, list[PeerRule]] = {}
        for rule in rules:
            self._rules.setdefault(rule.sender, []).append(rule)

    def admit(self, sender: str, peer: Peer) -> None:
        """Let the sender in.

        Raises:
            RefusedMessageError: nobody knows it, or it may not come from there.
        """
        at = Location("MSH", 3)
        if not any(sender in domain.senders for domain in self._domains.all()):
            raise RefusedMessageError("sender", at, came=sender, allowed="identity.domains.senders")
        if not (peer.replayed_by or self._may_come(sender, peer)):
            raise RefusedMessageError("peer", at, came=peer.address, allowed="hl7.peers")

    def _may_come(self, sender: str, peer: Peer) -> bool:
        rules = self._rules.get(sender)
        if rules is None:
            return self._any_address or is_loopback(peer.address)
        return any(rule.admits(peer) for rule in rules)


def is_loopback(address: str) -> bool:
    """Tell whether an address, or a name to listen on, is this machine alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def refuse_unguarded(bind: str, rules: Sized, *, any_address: bool) -> None:
    """Let a listener beyond loopback pass only if something says who may connect.

    Raises:
        ConfigurationError: nothing does.
    """
    if rules or any_address or is_loopback(bind):
        return
    raise ConfigurationError(
        f"hl7.bind is {bind}, which other machines reach, and hl7.peers is empty: whoever connects "
        "could speak as any sender. Allowed: tables [[hl7.peers]] with sender and networks or "
        "certificates, hl7.bind = 127.0.0.1, or hl7.any_address = true if any address may connect. "
        "（hl7.bind 对外监听而 hl7.peers 为空，任何人都可冒充发送方；请配置 [[hl7.peers]]，"
        "或改为仅本机监听，或明确设置 hl7.any_address = true）"
    )


def peer_rules(tables: Iterable[Mapping[str, object]]) -> tuple[PeerRule, ...]:
    """Return the rules that `[[hl7.peers]]` tables describe.

    Raises:
        ConfigurationError: a key is unknown or ill-typed, or a network is none.
    """
    return tuple(_rule(number, table) for number, table in enumerate(tables, start=1))


def _rule(number: int, table: Mapping[str, object]) -> PeerRule:
    where = f"hl7.peers, table {number}"
    if unknown := set(table) - _KEYS:
        raise ConfigurationError(f"{where}: unknown key {min(unknown)}; allowed: {sorted(_KEYS)}")
    networks, certificates = table.get("networks", ()), table.get("certificates", ())
    if not isinstance(networks, list | tuple) or not isinstance(certificates, list | tuple):
        raise ConfigurationError(f"{where}: networks and certificates are lists of texts")
    try:
        for network in networks:
            ipaddress.ip_network(str(network))
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    prints = tuple(str(one).replace(":", "").lower() for one in certificates)
    return PeerRule(str(table.get("sender", "")), tuple(map(str, networks)), prints)
