"""The same door for libraries that bring an HTTP client of their own (the MCP SDK): a transport to put under that client.

Promises of ``client`` that hold here too: every request is judged, redirects that the client follows among them; addresses
are resolved once, all judged, and one of them dialled; no proxy; one connection a request. An answer that is compressed all
the same is refused, because the client would unpack it without an end in sight. How long things may take, and how much of an
answer is read, is for the client to say; it also decides about redirects, so make it with ``follow_redirects=False``.
Loaded by those who need it: it brings the whole client library.
"""

from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager

import httpcore2
import httpx2

from rota.base.policy import Policy
from rota.outgoing import dial, guard
from rota.outgoing.failures import ForbiddenAddress, OutgoingFailure
from rota.outgoing.resolve import Resolve, system_resolve


class Forbidden(httpx2.ConnectError):
    """``ForbiddenAddress`` as the client's own kind of exception."""


class Transport(httpx2.AsyncBaseTransport):
    """``httpx2.AsyncClient(transport=Transport(policy), trust_env=False)``."""

    def __init__(self, policy: Policy, *, resolve: Resolve = system_resolve) -> None:
        self._allowed = guard.allowed(policy.allow_private_hosts)
        self._resolve = resolve

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        with _failures():
            target = guard.parse(str(request.url))
            guard.check(target, self._allowed)
            connection = dial.connection(target, self._allowed, self._resolve)
            ours = {b"host", b"accept-encoding", b"connection"}
            headers = [pair for pair in request.headers.raw if pair[0].lower() not in ours]
            headers += [
                (b"host", target.authority.encode()),
                (b"accept-encoding", b"identity"),
                (b"connection", b"close"),
            ]
            assert isinstance(request.stream, httpx2.AsyncByteStream)
            asked = httpcore2.Request(
                request.method,
                dial.url(target),
                headers=headers,
                content=request.stream,
                extensions={"timeout": request.extensions.get("timeout", {})},
            )
            try:
                answer = await connection.handle_async_request(asked)
            except BaseException:
                await connection.aclose()
                raise
        body = _Body(answer, connection)
        response = httpx2.Response(answer.status, headers=answer.headers, stream=body)
        if response.headers.get("content-encoding", "identity") != "identity":
            await body.aclose()
            raise httpx2.DecodingError(f"{target.host} compressed its answer, although it was asked not to")
        return response


class _Body(httpx2.AsyncByteStream):
    """An answer's content as it arrives; its connection goes with it."""

    def __init__(self, answer: httpcore2.Response, connection: httpcore2.AsyncHTTPConnection) -> None:
        self._answer = answer
        self._connection = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Each part of it."""
        with _failures():
            async for chunk in self._answer.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._answer.aclose()
        await self._connection.aclose()


@contextmanager
def _failures() -> Generator[None]:
    """Tell what went wrong in the client's words."""
    try:
        yield
    except ForbiddenAddress as exc:
        raise Forbidden(str(exc)) from exc
    except OutgoingFailure as exc:
        raise httpx2.ConnectError(str(exc)) from exc
    except httpcore2.ConnectTimeout:
        raise httpx2.ConnectTimeout("the connection was not made in time") from None
    except httpcore2.TimeoutException:
        raise httpx2.ReadTimeout("the answer did not come in time") from None
    except httpcore2.ConnectError as exc:
        raise httpx2.ConnectError(str(exc)) from None
    except httpcore2.NetworkError:
        raise httpx2.ReadError("the connection broke") from None
    except httpcore2.ProtocolError:  # whose text may quote what was sent or received
        raise httpx2.RemoteProtocolError("the host does not answer in HTTP") from None
