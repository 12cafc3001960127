"""Which machines are believed when they say for whom they speak."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def plain_address(text: str) -> Address:
    """Return the address written in `text`; an IPv4 address inside an IPv6 one is itself.

    Raises:
        ValueError: it is none.
    """
    address = ipaddress.ip_address(text)
    inner = getattr(address, "ipv4_mapped", None)
    return inner or address


@dataclass(frozen=True)
class Proxies:
    """The proxies of one door, by their networks."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[str]) -> "Proxies":
        """Return the proxies in `networks`, in CIDR form.

        Raises:
            ValueError: one is no network.
        """
        return cls(tuple(ipaddress.ip_network(one) for one in networks))

    def hold(self, address: str) -> bool:
        """Tell whether `address` is a proxy's."""
        try:
            found = plain_address(address)
        except ValueError:
            return False
        return any(found in network for network in self.networks)
