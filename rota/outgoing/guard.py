"""Which URLs this server may ask, and which addresses it may dial for them. Pure: resolves nothing, connects to nothing.

Users choose many of these URLs, and the server stands inside somebody's network: whatever a user could make it ask there is
the operator's to allow. Promises: a URL has one reading, since one that two parsers could read differently is refused and
what is sent is put together anew from the parts; an address is dialled only if it is public, or on the operator's list.

Public means: assigned for use on the Internet (RFC 6890 and the registries that followed it), and so is every IPv4 address
that is wrapped in an IPv6 one. Cloud metadata services live at addresses that are not public, with one exception that is
listed below. Allowed ports are those of HTTPS; whatever else, and plain HTTP, only hosts on the operator's list may ask for.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from rota.base.errors import Unusable
from rota.outgoing.failures import ForbiddenAddress

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

PORTS: Final = frozenset({443, 8443})
"""Where hosts that are not on the operator's list may be asked."""

MAX_URL: Final = 8192
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)(#.*)?")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_TARGET = re.compile(r"[!$-;=?-\[\]_a-z~]*")  # visible ASCII without " # < > \ ^ ` { | }

_NOT_PUBLIC: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network; Linux dials 0.0.0.0 as loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers; also Alibaba's metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata service, at an address that looks public
        "169.254.0.0/16",  # link-local; the metadata service of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; also Oracle's metadata service
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays that are no more
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_PUBLIC_6: Final = IPv6Network("2000::/3")
"""All that was ever assigned. Loopback, unspecified, link-local, site-local, unique local, multicast lie outside of it."""
_NOT_PUBLIC_6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them: it wraps the addresses of two hosts, and is no more
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_6TO4: Final = IPv6Network("2002::/16")
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)


class Target(Struct, frozen=True):
    """A URL in its parts. ``host`` is in lower-case ASCII without a final dot, an IPv6 address without its brackets;
    ``path`` is path and query as they are sent; ``address`` is the host's, if it is one."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str
    address: Address | None

    @property
    def authority(self) -> str:
        """The host as headers and URLs have it, the port only if it is not the scheme's own."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == _DEFAULT_PORTS[self.scheme] else f"{shown}:{self.port}"

    @property
    def url(self) -> str:
        """The URL put together from its parts."""
        return f"{self.scheme}://{self.authority}{self.path}"


class Allowed(Struct, frozen=True):
    """The operator's list: names and blocks of addresses, each with the port it is meant for, or None for every port."""

    names: frozenset[tuple[str, int | None]] = frozenset()
    blocks: tuple[tuple[Network, int | None], ...] = ()

    def name(self, target: Target) -> bool:
        """Whether the target's host is listed by name."""
        return not self.names.isdisjoint({(target.host, None), (target.host, target.port)})

    def address(self, address: Address, port: int) -> bool:
        """Whether an address is listed, by itself or in a block."""
        return any(address in block and only in (None, port) for block, only in self.blocks)


def parse(url: str) -> Target:
    """The parts of a URL. ForbiddenAddress for every form that could be read in two ways, or that is not for hosts."""
    if len(url) > MAX_URL:
        raise ForbiddenAddress(f"the URL is longer than {MAX_URL} characters")
    match = _URL.fullmatch(url)
    if match is None:
        raise ForbiddenAddress("this is not a URL such as https://example.com/path")
    scheme, authority, path, fragment = match.groups()
    scheme = scheme.lower()
    if scheme not in ("http", "https"):
        raise ForbiddenAddress(f"the scheme {scheme} is not https")
    if fragment is not None:
        raise ForbiddenAddress("the URL has a fragment (#…), which no server would see")
    if "@" in authority:
        raise ForbiddenAddress("the URL holds a user name or password; write it without")
    if not _TARGET.fullmatch(path):
        raise ForbiddenAddress("the URL's path or query holds characters that must be percent-encoded")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or (parts[2] is not None and int(parts[2]) > 65535):
        raise ForbiddenAddress("the URL names no host, or a port that is none")
    name, address = host(parts[1])
    port = _DEFAULT_PORTS[scheme] if parts[2] is None else int(parts[2])
    return Target(scheme, name, port, path if path.startswith("/") else "/" + path, address)


def host(text: str) -> tuple[str, Address | None]:
    """A host's one spelling, and its address if it is one (of version 6 in brackets). ForbiddenAddress."""
    if text.startswith("["):
        try:
            address = IPv6Address(text[1:-1])
        except AddressValueError:
            raise ForbiddenAddress(f"{text} is not an IPv6 address") from None
        return str(address), address
    name = _ascii(text).lower()
    bare = name.removesuffix(".")
    labels = bare.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # 2130706433, 0177.1, 0x7f.0.0.1 and 127.1 are all 127.0.0.1 to some resolver; only the plain form is taken.
        try:
            address = IPv4Address(name)
        except AddressValueError:
            raise ForbiddenAddress("the URL's host is a number, but not an IPv4 address in its plain form") from None
        return name, address
    if len(bare) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ForbiddenAddress("the URL's host is not a host name")
    return bare, None


def _ascii(name: str) -> str:
    """A name in the letters that DNS has. Look-alikes of digits and dots become what they look like, before any rule is asked."""
    if name.isascii():
        return name
    import idna  # 2 MB of tables, for the few that need them

    try:
        return idna.encode(name, uts46=True, std3_rules=True).decode()
    except idna.IDNAError:
        raise ForbiddenAddress("the URL's host is not a host name") from None


def is_public(address: Address) -> bool:
    """Whether an address, and every address wrapped in it, is one that anybody on the Internet can reach."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC)
    if address in _NAT64:  # what DNS64 answers for a host that has IPv4 only
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address not in _PUBLIC_6 or any(address in network for network in _NOT_PUBLIC_6):
        return False
    return all(map(is_public, _wrapped(address)))


def _wrapped(address: IPv6Address) -> Iterator[IPv4Address]:
    number = int(address)
    if address in _6TO4:
        yield IPv4Address((number >> 80) & 0xFFFF_FFFF)
    if (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        yield IPv4Address(number & 0xFFFF_FFFF)


def check(target: Target, allowed: Allowed) -> None:
    """Refuse what cannot be right whatever the host's addresses turn out to be. ForbiddenAddress.

    Saves the name from being looked up where nothing on the list could allow it.
    """
    if target.address is not None:
        judge(target, [target.address], allowed)
    elif not allowed.name(target) and not allowed.blocks:
        _check_door(target)


def judge(target: Target, addresses: Sequence[Address], allowed: Allowed) -> None:
    """Refuse a target if any of its host's addresses may not be dialled for it. ForbiddenAddress."""
    if allowed.name(target):
        return
    for address in addresses:
        if allowed.address(address, target.port):
            continue
        if not is_public(address):
            raise ForbiddenAddress(
                f"{target.host} is at an address that is not public; ROTA_ALLOW_PRIVATE_HOSTS can list the host"
            )
        _check_door(target)


def judge_place(target: Target, addresses: Sequence[Address], allowed: Allowed) -> None:
    """Refuse a target if any of its host's addresses may not be dialled, by whatever scheme and at whatever port. ForbiddenAddress."""
    if allowed.name(target):
        return
    for address in addresses:
        if not allowed.address(address, target.port) and not is_public(address):
            raise ForbiddenAddress(
                f"{target.host} is at an address that is not public; ROTA_ALLOW_PRIVATE_HOSTS can list the host"
            )


def _check_door(target: Target) -> None:
    if target.scheme != "https":
        raise ForbiddenAddress(
            f"{target.host} may only be asked over https; ROTA_ALLOW_PRIVATE_HOSTS can list the host"
        )
    if target.port not in PORTS:
        raise ForbiddenAddress(
            f"{target.host} may not be asked at port {target.port}; ROTA_ALLOW_PRIVATE_HOSTS can list {target.authority}"
        )


@lru_cache(16)
def allowed(text: str) -> Allowed:
    """The operator's list from its text. Unusable, naming the entry, if one is of no known form."""
    names: set[tuple[str, int | None]] = set()
    blocks: list[tuple[Network, int | None]] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        try:
            found, port = _entry(entry)
        except (ValueError, ForbiddenAddress) as exc:
            raise Unusable(
                f"ROTA_ALLOW_PRIVATE_HOSTS: {entry!r} is not a host name, an address, either with a port, or a block such as "
                f"10.0.0.0/8: {exc}"
            ) from None
        if isinstance(found, str):
            names.add((found, port))
        else:
            blocks.append((found, port))
    return Allowed(frozenset(names), tuple(blocks))


def _entry(entry: str) -> tuple[str | Network, int | None]:
    if "/" in entry:
        return ip_network(entry), None
    if entry.count(":") > 1 and not entry.startswith("["):
        return ip_network(ip_address(entry)), None
    match = _AUTHORITY.fullmatch(entry)
    port = None if match is None or match[2] is None else int(match[2])
    if match is None or (port or 1) > 65535:
        raise ValueError("it names no host, or a port that is none")
    name, address = host(match[1])
    return (name if address is None else ip_network(address)), port
