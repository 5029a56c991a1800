"""Where the door touches the network library: resolve, judge, dial, and tell failures apart.

Loaded at the first request, since the library costs 30 ms and 4 MB that a server which asks nobody need not pay. Its
interface for network backends is public, so that the judgement sits below everything that could dial.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast

import httpcore2

from rota.outgoing import guard
from rota.outgoing.failures import TimedOut, Unreachable
from rota.outgoing.resolve import Resolve

if TYPE_CHECKING:
    import ssl


class Dialler(httpcore2.AsyncNetworkBackend):
    """Connects for one target, to an address that was judged, whatever its name would answer a moment later."""

    def __init__(self, target: guard.Target, allowed: guard.Allowed, resolve: Resolve) -> None:
        self._target = target
        self._allowed = allowed
        self._resolve = resolve
        self._network = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())  # untyped where it is optional

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address that takes the connection. ForbiddenAddress if any of them may not be dialled."""
        if self._target.address is not None:
            addresses = [self._target.address]
        else:
            addresses = [ip_address(text) for text in await self._resolve(host, port)]
        guard.judge(self._target, addresses, self._allowed)
        failure: Exception = httpcore2.ConnectError("it has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as exc:
                failure = exc
        raise failure


def connection(target: guard.Target, allowed: guard.Allowed, resolve: Resolve) -> httpcore2.AsyncHTTPConnection:
    """A connection for one target, not yet made; Host header and TLS keep the name."""
    return httpcore2.AsyncHTTPConnection(
        httpcore2.Origin(target.scheme.encode(), target.host.encode(), target.port),
        ssl_context=_tls() if target.scheme == "https" else None,
        network_backend=Dialler(target, allowed, resolve),
    )


def url(target: guard.Target) -> httpcore2.URL:
    """The URL from its parts, so that nobody reads its text a second time and finds something else in it."""
    return httpcore2.URL(
        scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
    )


@cache
def _tls() -> "ssl.SSLContext":
    """The system's certificate authorities, or those of ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``."""
    return httpcore2.default_ssl_context()


@contextmanager
def failures(target: guard.Target, seconds: float) -> Generator[None]:
    """Tell the library's failures as ours."""
    try:
        yield
    except (TimeoutError, httpcore2.TimeoutException):
        raise TimedOut(f"{target.host} did not answer in full within {seconds:g} seconds") from None
    except httpcore2.ConnectError as exc:
        raise Unreachable(f"{target.host} cannot be connected to: {exc}") from None
    except httpcore2.NetworkError:
        raise Unreachable(f"the connection to {target.host} broke") from None
    except httpcore2.ProtocolError:  # whose text may quote what was sent or received
        raise Unreachable(f"{target.host} does not answer in HTTP") from None
