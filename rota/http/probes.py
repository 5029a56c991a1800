"""Routes about the server itself: health, readiness, metrics, and the API's own description."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from rota.base.errors import Unavailable
from rota.http import openapi, sql
from rota.http.metrics import Count, Spread, render
from rota.http.request import Reply, Request
from rota.http.route import Route
from rota.store.tx import Tx


class Health(Struct, frozen=True):
    """That the server is there."""

    status: str


_OK = Reply(b'{"status":"ok"}')


def _ping(tx: Tx) -> None:
    tx.one(sql.PING)


async def healthz(_req: Request) -> Reply:
    """The process answers."""
    return _OK


def routes(
    all_routes: Callable[[], Sequence[Route]],
    *,
    version: str,
    stopping: Callable[[], bool],
    counts: Callable[[], Iterable[Count | Spread]] = tuple,
) -> list[Route]:
    """The probes over ``all_routes``; while ``stopping`` the server is no longer ready. ``counts`` join the metrics."""
    described: list[Reply] = []

    async def readyz(req: Request) -> Reply:
        if stopping():
            raise Unavailable("shutting down")
        await req.db.read(_ping)
        return _OK

    async def metrics(_req: Request) -> Reply:
        return Reply(render(all_routes(), counts()), content_type=b"text/plain; version=0.0.4; charset=utf-8")

    async def describe(_req: Request) -> Reply:
        if not described:
            described.append(Reply(openapi.document(all_routes(), version=version)))
        return described[0]

    def public(path: str, name: str, summary: str, handle: Any, returns: Any) -> Route:
        return Route("GET", path, name, summary, handle, returns, access="public", id_headers=False)

    return [
        public("/healthz", "server.health", "Whether the process answers", healthz, Health),
        public("/readyz", "server.ready", "Whether requests can be served", readyz, Health),
        public("/metrics", "server.metrics", "Counters for Prometheus", metrics, str),
        public("/openapi.json", "server.openapi", "This API as an OpenAPI 3.1 document", describe, dict),
    ]
