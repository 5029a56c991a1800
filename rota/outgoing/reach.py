"""How far a sandbox reaches: which hosts, at which doors. Pure.

Names are compared in the one spelling that ``guard`` gives them. ``*.name`` covers every depth below a name, and never the name
itself. With a list of hosts only HTTPS goes out, as on the hosted service; without one, any port of any public host.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from msgspec import Struct

from rota.outgoing import guard
from rota.outgoing.failures import ForbiddenAddress

PORTS: Final = frozenset({443, 8443})
"""Where listed hosts may be asked."""


class Reach(Struct, frozen=True, kw_only=True):
    """Everything (``every``) or the hosts named; ``allowed`` is the operator's list, of what may be private."""

    every: bool = False
    names: frozenset[str] = frozenset()
    below: tuple[str, ...] = ()
    allowed: guard.Allowed = guard.Allowed()

    def check(self, target: guard.Target) -> None:
        """Refuse a target before its name is even looked up. ForbiddenAddress, as the sandbox may read it."""
        if self.every:
            return
        if not self.names and not self.below:
            raise ForbiddenAddress("this sandbox has no network")
        if target.host not in self.names and not target.host.endswith(self.below or "\0"):
            raise ForbiddenAddress(f"Host not in allowlist: {target.host}")
        if self.allowed.name(target):
            return
        if target.scheme != "https":
            raise ForbiddenAddress(f"{target.host} may only be asked over https")
        if target.port not in PORTS:
            raise ForbiddenAddress(f"{target.host} may not be asked at port {target.port}")

    def judge(self, target: guard.Target, addresses: Iterable[IPv4Address | IPv6Address]) -> None:
        """Refuse a target if any of its addresses may not be dialled. ForbiddenAddress."""
        guard.judge_place(target, tuple(addresses), self.allowed)


def reach(kind: str, hosts: Iterable[str], allowed: guard.Allowed) -> Reach:
    """The reach of a sandbox from what its environment says. Entries that are no host name let nothing through."""
    if kind == "unrestricted":
        return Reach(every=True, allowed=allowed)
    names, below = set[str](), list[str]()
    for entry in hosts if kind == "limited" else ():
        try:
            name, _ = guard.host(entry.removeprefix("*."))
        except ForbiddenAddress:
            continue
        if entry.startswith("*."):
            below.append("." + name)
        else:
            names.add(name)
    return Reach(names=frozenset(names), below=tuple(below), allowed=allowed)
