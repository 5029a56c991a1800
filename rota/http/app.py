"""The application: a request comes in as bytes and leaves as bytes.

Promises: every response carries a request id; whatever a client sends, the answer is never an unhandled traceback; a body
over the limit is refused before it is read. Order of a request: find the route, admit the caller, count the request if
there is a limit, decode, handle, encode; a form is handed to the handler unread. A reply in chunks that breaks off never
looks whole. A stream of events is timed until it begins, and ends within a quarter of a minute of its key.
Plain ASGI, because a framework's routing and wrapping cost more than the work behind most routes (measured: 27 µs a request
bare, 75 with a list of 61 regular expressions, 141 in the usual framework).
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias, get_args
from urllib.parse import parse_qsl

import msgspec

from rota.base import ids, log
from rota.base.errors import Fault, InvalidRequest, Refusal
from rota.base.page import Cursors
from rota.base.policy import Policy
from rota.base.who import Who
from rota.base.wire import LONG_BODY, decode, encode, translate
from rota.http import errors, idempotency
from rota.http.admit import Admission
from rota.http.limit import Limiter
from rota.http.request import Live, Reply, Request
from rota.http.route import Route, Router
from rota.http.space import Space
from rota.http.upload import Form, too_large
from rota.store.blob import Blobs
from rota.store.db import Db

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_HEAD = 64 * 1024
HEADERS_TOO_LARGE = "the request's headers are too large: at most 100 of together 64 KiB"
_MAX_BETA = 4096
_MAX_HEADERS = 100
_SINGLE = frozenset(
    {b"x-api-key", b"authorization", b"anthropic-workspace-id", b"idempotency-key", b"content-length", b"content-type"}
)
_LINGER, _SILENCE = 5.0, 1.0
"""Seconds for which the rest of a refused form is still taken in, and how long it may pause meanwhile."""
_RECHECK = 15.0
"""Seconds after which it is asked again whether the caller of a stream may still be here."""
_READERS = ThreadPoolExecutor(2, thread_name_prefix="bodies")
"""Threads of their own: the common ones may all be waiting, for names of other hosts for example."""
_DATE = re.compile(r"\d{4}-")
_NOBODY = Who(organization_id="", workspace_id="", key_id="")
_logger = log.get("http")


class App:
    """The ASGI application over a list of routes."""

    def __init__(
        self,
        routes: list[Route],
        db: Db,
        admission: Admission,
        cursors: Cursors,
        policy: Policy,
        blobs: Blobs,
        *,
        feed: Any = None,
        limiter: Limiter | None = None,
    ) -> None:
        self.feed = feed
        self.router = Router(routes)
        self.db = db
        self.blobs = blobs
        self.cursors = cursors
        self.policy = policy
        self.space = Space()
        self.under_way: set[idempotency.Name] = set()
        self._admission = admission
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection; anything but HTTP is closed."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        request_id = ids.new(ids.REQUEST)
        route: Route | None = None
        request: Request | None = None
        who = _NOBODY
        try:
            path: str = scope["path"].replace("\0", "\ufffd")  # which no id has, and PostgreSQL takes no NUL
            route, params = self.router.find(scope["method"], path)
            headers = _headers(scope["headers"])
            if route.access != "public":
                who = await self._admission.admit(route, params, headers)
                if self._limiter is not None:
                    self._limiter.check(route, who.organization_id)
            request = Request(self, route, who, params, path)
            await _load(request, scope, headers, receive)
            if request.idempotency_key is None:
                result = await route.handle(request)
            else:
                with idempotency.claimed(self.under_way, request.key_name):
                    result = await route.handle(request)
            reply = result if isinstance(result, Reply) else Reply(encode(result))
        except Refusal as refusal:
            reply = errors.reply(refusal, request_id)
        except Exception as exc:
            self._report(exc, request_id, route)
            reply = errors.reply(exc, request_id)
        finally:
            if request is not None and request.held:
                self.space.give(request.held)
        head = [(b"content-type", reply.content_type), (b"request-id", request_id.encode()), *reply.headers]
        length = len(reply.body) if reply.chunks is None else reply.length
        if length is not None:
            head.append((b"content-length", str(length).encode()))
        if who is not _NOBODY and route is not None and route.id_headers:
            head.append((b"anthropic-organization-id", who.organization_id.encode()))
            if who.workspace_id:
                head.append((b"anthropic-workspace-id", who.workspace_id.encode()))
        unread = route is not None and route.upload is not None and _is_unread(request)
        if unread and reply.status != 413:
            head.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": head})
        begun = time.perf_counter()
        if request is not None and reply.chunks is not None:
            await self._stream(reply, scope, receive, send, request_id, request)
        elif unread:
            await send({"type": "http.response.body", "body": reply.body, "more_body": True})
            await _drain(receive)
            await send({"type": "http.response.body", "body": b""})
        else:
            await send({"type": "http.response.body", "body": reply.body})
        if route is not None:
            ended = begun if route.streams else time.perf_counter()
            route.tally.add(reply.status, ended - started)

    async def _stream(
        self, reply: Reply, scope: Scope, receive: Receive, send: Send, request_id: str, request: Request
    ) -> None:
        """Send a reply's chunks, until they end, fail, or nobody is there to take them.

        After a failure the last message is not sent: the server below then closes the connection.
        """
        assert reply.chunks is not None
        gone = asyncio.ensure_future(_departure(receive))
        pump = asyncio.ensure_future(_pump(reply.chunks, reply.length, send))
        own = [pump, gone]
        watched: list[asyncio.Future[Any]] = [*own]
        if reply.live is not None:
            reply.live.outlet = scope.get("rota.write")
            own.append(asyncio.ensure_future(self._shut_out(request, reply.live)))
            watched.append(reply.live.cut)
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
                await send({"type": "http.response.body", "body": b""})
            elif not gone.done() and (abort := scope.get("rota.abort")) is not None:
                abort()
        except Exception as exc:
            self._report(exc, request_id, request.route)
        finally:
            for task in own:
                task.cancel()
            await asyncio.gather(*own, return_exceptions=True)
            if (close := getattr(reply.chunks, "aclose", None)) is not None:
                await close()

    async def _shut_out(self, request: Request, live: Live) -> None:
        """End a stream when its caller's key opens it no longer."""
        headers = _headers(request.headers)
        while True:
            await asyncio.sleep(_RECHECK)
            try:
                await self._admission.admit(request.route, request.params, headers)
            except Refusal:
                live.hang_up()
                return
            except Fault:  # nobody can say now
                continue

    def _report(self, error: Exception, request_id: str, route: Route | None) -> None:
        name = route.name if route else None
        if isinstance(error, Fault):
            _logger.warning(
                "request failed", route=name, request_id=request_id, fault=type(error).__name__, reason=str(error)
            )
        else:
            _logger.error("request failed", route=name, request_id=request_id, exc_info=error)


def _headers(pairs: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers by name. InvalidRequest if they are too many or too large, or if one that we act on comes twice."""
    headers = dict(pairs)
    if len(pairs) > _MAX_HEADERS or sum(map(len, headers)) + sum(map(len, headers.values())) > MAX_HEAD:
        raise InvalidRequest(HEADERS_TOO_LARGE)
    if len(headers) != len(pairs):
        _merge(headers, pairs)
    beta = headers.get(b"anthropic-beta")
    if beta is not None and (len(beta) > _MAX_BETA or not beta.decode("latin-1").isprintable()):
        raise InvalidRequest("anthropic-beta: must be at most 4096 printable characters")
    return headers


def _merge(headers: dict[bytes, bytes], pairs: Sequence[tuple[bytes, bytes]]) -> None:
    """Headers that came more than once: betas are a list, and of the others that we act on no two may differ.

    Which of two keys counts would be for us to choose, and whatever stands in front of this server may have chosen the other.
    """
    if sum(len(name) + len(value) for name, value in pairs) > MAX_HEAD:
        raise InvalidRequest(HEADERS_TOO_LARGE)
    for name in _SINGLE & headers.keys():
        if len({value for other, value in pairs if other == name}) > 1:
            raise InvalidRequest(f"{name.decode()}: was sent more than once, with different values")
    betas = [value for name, value in pairs if name == b"anthropic-beta"]
    if len(betas) > 1:
        headers[b"anthropic-beta"] = b",".join(betas)


async def _pump(chunks: AsyncIterator[bytes], length: int | None, send: Send) -> None:
    """Send chunks as they come. Fault if they are not as many bytes together as was announced."""
    sent = 0
    async for chunk in chunks:
        sent += len(chunk)
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    if length is not None and sent != length:
        raise Fault(f"a reply of {length} bytes had {sent}")


async def _departure(receive: Receive) -> None:
    """Wait until the caller has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _is_unread(request: Request | None) -> bool:
    return request is None or request.form is None or request.form.unread


async def _drain(receive: Receive) -> None:
    """Take in, for a while, what a caller goes on sending after the refusal of a form.

    Whoever sends 500 MB looks for an answer at the end; a connection closed before would be all that they see.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _LINGER
    with suppress(TimeoutError):
        while (left := deadline - loop.time()) > 0:
            message = await asyncio.wait_for(receive(), min(left, _SILENCE))
            if not message.get("more_body"):
                return


async def _load(request: Request, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> None:
    """Read and decode what the route asks for."""
    route = request.route
    size = headers.get(b"content-length", b"0")
    if not size.isdigit():
        raise InvalidRequest("content-length: must be a number of bytes")
    if len(size) > 18 or int(size) > route.max_body:
        raise too_large(route.max_body)
    request.headers = scope["headers"]
    if route.query is not None:
        request.query = _query(scope["query_string"], route)
    if route.creates and (key := headers.get(b"idempotency-key")) is not None:
        request.idempotency_key = idempotency.check(key.decode("latin-1"))
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise InvalidRequest("content-encoding: compressed bodies are not supported; send the body as it is")
    if route.upload is not None:
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        digests = request.idempotency_key is not None
        request.form = Form(receive, content_type, limit=route.max_body, digests=digests)
    elif route.body is not None or request.idempotency_key is not None:
        if int(size) >= LONG_BODY:
            await request.hold(int(size))
        request.raw_body = await _read(request, receive)
        if route.body is not None:
            if len(request.raw_body) < LONG_BODY:
                request.body = decode(request.raw_body, route.body, route.dialect)
            else:  # would hold up everybody else for too long
                reading = asyncio.get_running_loop().run_in_executor
                request.body = await reading(_READERS, decode, request.raw_body, route.body, route.dialect)


async def _read(request: Request, receive: Receive) -> bytes:
    limit = request.route.max_body
    message = await receive()
    body: bytes = message.get("body", b"")
    if len(body) > limit:
        raise too_large(limit)
    if message.get("more_body"):
        parts, total = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            part: bytes = message.get("body", b"")
            total += len(part)
            if total > limit:
                raise too_large(limit)
            if total >= LONG_BODY and not request.held:  # how long it will be was not said
                await request.hold(limit)
            parts.append(part)
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise InvalidRequest("the request ended before its body was complete")
    return body


def _query(text: bytes, route: Route) -> Any:
    """The query string as the route's Struct. Unknown names are ignored; a bad value of a known one is 400."""
    assert route.query is not None
    found: dict[str, Any] = {}
    if text:
        try:
            pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, strict_parsing=False, max_num_fields=500)
        except ValueError:
            raise InvalidRequest("the query string is malformed or has more than 500 fields") from None
        for name, value in pairs:
            value = value.replace("\0", "\ufffd")  # as in paths
            if name.endswith("[]"):
                found.setdefault(name, []).append(value)
            else:
                found[name] = value
    try:
        for name in _bare_fields(route.query) & found.keys():
            _check_bare(name, found[name])
        return msgspec.convert(found, route.query, strict=False)
    except msgspec.ValidationError as exc:
        said = translate(str(exc), "path")
    except InvalidRequest as refusal:
        said = refusal.message
    words: Mapping[str, str] = getattr(route.query, "WORDS", {})
    raise InvalidRequest(words.get(said.partition(":")[0], said))


@lru_cache(256)
def _bare_fields(query: type[msgspec.Struct]) -> frozenset[str]:
    """The fields of a query that are neither text nor lists: switches, numbers and instants."""
    fields = msgspec.structs.fields(query)
    return frozenset(each.encode_name for each in fields if {bool, int, datetime} & {each.type, *get_args(each.type)})


def _check_bare(name: str, value: str) -> None:
    """Refuse what a lenient conversion would misread: ``null`` as absent, and a number as seconds since 1970."""
    if value.lower() == "null":
        raise InvalidRequest(f'{name}: "{value}" is not a valid value')
    if name.startswith("created_at[") and not _DATE.match(value):
        raise InvalidRequest(f"{name}: not a valid RFC 3339 datetime")
