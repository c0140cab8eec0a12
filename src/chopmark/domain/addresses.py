"""Which addresses of the network something of ours may be sent to; pure.

A server that sends to an address which somebody else chose can be made to ask its own network for things (SSRF). So a message goes to
public addresses only, unless a setting names the host or the network; and it goes to the very address that was judged, since a
name may mean another one the next time it is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from chopmark.domain.names import shown
from chopmark.errors import Denied, InvalidRequest

__all__ = ["Allowed", "Place", "check_addresses", "parse_allowed", "parse_place"]

URL_LENGTH_MAX = 2_000
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]/?#:@]*)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>(?:/[^?#]*)?(?:\?[^#]*)?)"
)
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_PORTS = {"http": 80, "https": 443, "smtp": 587, "smtps": 465}
_PORT_MAX = 65_535
_METADATA = frozenset(map(ip_address, ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")))
"""Where clouds tell their machines secrets: the last one even looks public."""
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")


class Place(NamedTuple):
    """Where a message goes: the parts of its URL.

    Attributes
    ----------
    host
        Without brackets, in small letters.
    target
        Path and query as they are sent, beginning with a slash.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port as a ``Host`` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The part of the URL that is no secret."""
        return f"{self.scheme}://{self.authority}"


def parse_place(url: str, schemes: Iterable[str] = ("https", "http")) -> Place:
    """Read the URL of a receiver.

    Raises
    ------
    InvalidRequest
        When it cannot be one. The message does not repeat it, as it may hold a secret.
    """
    schemes = tuple(schemes)
    hint = f"Use {' or '.join(f'{each}://host/path' for each in schemes)}."
    if len(url) > URL_LENGTH_MAX or not url.isascii() or "\\" in url or any(c <= " " or c == "\x7f" for c in url):
        msg = f"The address is no URL: it is longer than {URL_LENGTH_MAX:,} characters, or holds what no URL does."
        raise InvalidRequest(msg, hint="Percent-encode what is not ASCII, and write hosts in their ASCII form.")
    if "@" in url.partition("://")[2].partition("/")[0].partition("?")[0]:
        raise InvalidRequest(
            "The address holds a name or a password.", hint="Leave them out; whom to trust is told by the signature."
        )
    found = _URL.fullmatch(url)
    if found is None or found["scheme"].lower() not in schemes:
        raise InvalidRequest("The address is not the URL of a receiver.", hint=hint)
    scheme, host = found["scheme"].lower(), found["host"].lower()
    port = int(found["port"]) if found["port"] else _PORTS[scheme]
    if not _is_host(host) or not 0 < port <= _PORT_MAX:
        raise InvalidRequest("The address has no host, or no port, that can be meant.", hint=hint)
    target = found["target"]
    return Place(scheme, host.strip("[]"), port, target if target.startswith("/") else f"/{target}")


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return _HOST.fullmatch(host) is not None
    try:
        return isinstance(ip_address(host[1:-1]), IPv6Address)
    except ValueError:
        return False


class Allowed(NamedTuple):
    """What a setting allows beside public addresses: hosts by name, and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IPv6Network, ...] = ()

    def names(self, host: str) -> bool:
        """Whether a host stands in the setting, by its name or as an address in one of the networks."""
        return host.lower().rstrip(".") in self.hosts or self.holds([host])

    def holds(self, addresses: Iterable[str]) -> bool:
        """Whether there are networks, and all of these are addresses in them."""
        try:
            found = [_widened(ip_address(address.partition("%")[0])) for address in addresses]
        except ValueError:
            return False
        return bool(self.networks) and all(any(each in network for network in self.networks) for each in found)


def parse_allowed(text: str) -> Allowed:
    """Read the setting ``webhook_allow``: ``alerts.internal, 10.1.0.0/16, ::1``.

    Raises
    ------
    InvalidRequest
        When an entry is neither a host nor a network.
    """
    hosts, networks = set[str](), list[IPv6Network]()
    for entry in filter(None, (each.strip() for each in text.split(","))):
        try:
            networks.append(_wide_network(entry))
        except ValueError as error:
            if "/" in entry or not _HOST.fullmatch(entry):
                msg = f"webhook_allow names {shown(entry)}, which is no host and no network."
                raise InvalidRequest(msg, hint="Write it like: alerts.internal, 10.1.0.0/16") from error
            hosts.add(entry.lower().rstrip("."))
    return Allowed(frozenset(hosts), tuple(networks))


def check_addresses(place: Place, addresses: Sequence[str], allowed: Allowed) -> list[str]:
    """Addresses of a host that may be connected to: all of them, when none is forbidden.

    A host some of whose addresses are forbidden is refused whole: nobody needs that, but who tries which one is taken.

    Raises
    ------
    Denied
        When one of them is not public and not allowed, or the way there is not encrypted and nobody allowed that.
    """
    if place.scheme == "http" and not allowed.names(place.host) and not allowed.holds(addresses):
        msg = f"{place.host} would be told over plain HTTP, which everybody on the way can read."
        raise Denied(msg, hint="Use https://, or name the host in the setting webhook_allow.")
    is_named = place.host.lower().rstrip(".") in allowed.hosts
    for address in addresses:
        found = ip_address(address.partition("%")[0])
        if allowed.holds([address]):
            continue
        why = _why_not(found)
        # A name in the setting stands for what it means, but never for what every machine of a cloud has at this address.
        if why and not (is_named and why not in ("metadata", "link-local")):
            msg = f"{place.host} is at {found}, a {why} address, where nothing is sent to."
            raise Denied(msg, hint="If it should be, name the network in the setting webhook_allow.")
    return list(addresses)


def _why_not(address: IPv4Address | IPv6Address) -> str:
    """What an address is that is not public; empty for one that is."""
    inner = _embedded(address)
    if inner is not None:
        return _why_not(inner)
    for word, holds in (
        ("metadata", address in _METADATA),
        ("loopback", address.is_loopback),
        ("link-local", address.is_link_local),
        ("multicast", address.is_multicast),
        ("unspecified", address.is_unspecified),
        ("private", address.is_private or getattr(address, "is_site_local", False)),
        ("reserved", address.is_reserved or not address.is_global),
    ):
        if holds:
            return word
    return ""


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """The IPv4 address to which one of IPv6 leads: mapped, compatible, NAT64, 6to4 and Teredo."""
    if isinstance(address, IPv4Address) or address.is_loopback or address.is_unspecified:
        return None
    if address in _NAT64 or address in _COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _widened(address: IPv4Address | IPv6Address) -> IPv6Address:
    return address if isinstance(address, IPv6Address) else IPv6Address(f"::ffff:{address}")


def _wide_network(text: str) -> IPv6Network:
    network = ip_network(text, strict=False)
    if isinstance(network, IPv6Network):
        return network
    return IPv6Network((_widened(network.network_address), network.prefixlen + 96))
