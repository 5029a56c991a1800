"""From a name to its addresses, and whether an address is this machine's own."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from rota.outgoing.failures import Unreachable

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""From a host name and a port to the addresses behind it, in the order in which to try them. Unreachable if there are none."""


async def system_resolve(host: str, port: int) -> list[str]:
    """The addresses that this machine finds for a name."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except OSError:
        raise Unreachable(f"{host} has no address") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_own(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to this machine, which then would be talking to itself. Sends nothing."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.connect((str(address), 9))  # for a datagram: only chooses the route, and thereby our end
            return str(trial.getsockname()[0]) == str(address)
    except OSError:
        return False  # there is no way to it at all
