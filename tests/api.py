"""A client that speaks to the ASGI application in this process, and the things that most tests begin with."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlencode, urlsplit

from rota.base.clock import HandClock
from rota.base.settings import Settings
from rota.base.who import Who
from rota.main import build
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from tests.forms import Field, encode

R = TypeVar("R")
KEY = "test-key-0123456789"
HELLO = [{"type": "user.message", "content": [{"type": "text", "text": "Hello."}]}]


class Response:
    """What came back. ``body`` is decoded JSON (or text)."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], raw: bytes) -> None:
        self.status = status
        self.headers = {name.decode(): value.decode() for name, value in headers}
        self.raw = raw
        kind = self.headers["content-type"]
        self.body: Any = (
            json.loads(raw) if kind == "application/json" else raw.decode() if kind.startswith("text/plain;") else raw
        )

    def ok(self) -> Any:
        """The body of a success; fails the test otherwise."""
        assert self.status == 200, self.body
        return self.body

    def refused(self, status: int, kind: str = "invalid_request_error") -> str:
        """The message of a refusal with this status and type; fails the test otherwise."""
        assert self.status == status, (self.status, self.body)
        assert self.body["type"] == "error"
        assert self.body["error"]["type"] == kind, self.body
        assert self.body["request_id"] == self.headers["request-id"]
        return self.body["error"]["message"]


class Api:
    """A house of its own, open for the length of a ``with``; every call runs on its own event loop.

    It does not wait for the disk, unless it is told to: nobody cuts the power in this process.
    """

    def __init__(self, database_url: str, folder: Path, clock: HandClock, **settings: Any) -> None:
        self.clock = clock
        settings = {"sqlite_synchronous": "NORMAL", **settings}
        self.settings = Settings(database=database_url, data_dir=str(folder), bootstrap_api_key=KEY, **settings)
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        self._runner.get_loop()
        self.house = self.run(self._stack.enter_async_context(build(self.settings, self.clock)))
        self.write(workspaces.bootstrap, KEY)
        found = self.read(keys.admit, KEY)
        assert found is not None
        self.who: Who = found
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stack.aclose())
        self._runner.close()

    def run(self, work: Awaitable[R]) -> R:
        """Run something asynchronous to its end."""

        async def wait() -> R:
            return await work

        return self._runner.run(wait())

    def write(self, fn: Callable[..., R], *args: Any) -> R:
        """Run ``fn(tx, *args)`` and commit."""

        async def work() -> R:
            return await self.house.db.write(fn, *args)

        return self._runner.run(work())

    def read(self, fn: Callable[..., R], *args: Any) -> R:
        """Run ``fn(tx, *args)`` on a snapshot."""

        async def work() -> R:
            return await self.house.db.read(fn, *args)

        return self._runner.run(work())

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | Sequence[bytes] | None = None,
        key: str | None = KEY,
        headers: dict[str, str] | None = None,
        query: dict[str, Any] | None = None,
        form: Sequence[Field] | None = None,
    ) -> Response:
        """One request, awaited. ``body`` is sent as JSON, ``raw`` as it is (in pieces, without a length, if it is a
        sequence), ``form`` as multipart/form-data; ``key=None`` sends no credential."""
        if form is not None:
            raw, content_type = encode(form)
            headers = {"content-type": content_type, **(headers or {})}
        if isinstance(raw, list | tuple):
            pieces, lengths = list(raw), dict[str, str]()
        else:
            whole = raw if isinstance(raw, bytes) else b"" if body is None else json.dumps(body).encode()
            pieces, lengths = [whole], {"content-length": str(len(whole))}
        sent = {"content-type": "application/json", **lengths, **(headers or {})}
        if key is not None:
            sent.setdefault("x-api-key", key)
        parts = urlsplit(path)
        text = urlencode(query, doseq=True) if query else parts.query
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(parts.path),
            "query_string": text.encode(),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()],
        }
        messages: list[dict[str, Any]] = []
        streams = asyncio.Event()
        incoming = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        incoming[-1]["more_body"] = False

        async def receive() -> dict[str, Any]:
            if not incoming:
                await streams.wait()  # the caller stays until it has its answer, or sees that there is no end to it
                if looks := self.house.feed.looks():  # what belongs to this request is not to happen during the next
                    await asyncio.wait(looks)
                return {"type": "http.disconnect"}
            return incoming.pop(0)

        async def send(message: Any) -> None:
            messages.append(message)
            if any(value.startswith(b"text/event-stream") for _, value in message.get("headers", ())):
                streams.set()

        await self.house.app(scope, receive, send)
        start, *chunks = messages
        assert streams.is_set() or not chunks[-1].get("more_body"), "the answer breaks off"
        return Response(start["status"], start["headers"], b"".join(chunk["body"] for chunk in chunks))

    def gather(self, calls: Sequence[Awaitable[Response]]) -> list[Response]:
        """Several ``call`` at once."""

        async def work() -> list[Response]:
            return list(await asyncio.gather(*calls))

        return self._runner.run(work())

    def get(self, path: str, **more: Any) -> Response:
        """GET."""
        return self.run(self.call("GET", path, **more))

    def post(self, path: str, body: Any = None, **more: Any) -> Response:
        """POST."""
        return self.run(self.call("POST", path, body, **more))

    def patch(self, path: str, body: Any = None, **more: Any) -> Response:
        """PATCH."""
        return self.run(self.call("PATCH", path, body, **more))

    def delete(self, path: str, **more: Any) -> Response:
        """DELETE."""
        return self.run(self.call("DELETE", path, **more))

    def agent(self, **fields: Any) -> dict[str, Any]:
        """A new agent."""
        return self.post("/v1/agents", {"name": "Clerk", "model": "claude-opus-5-5", **fields}).ok()

    def environment(self, **fields: Any) -> dict[str, Any]:
        """A new environment, of a name that is not taken."""
        self._environments = getattr(self, "_environments", 0) + 1
        return self.post("/v1/environments", {"name": f"env {self._environments}", **fields}).ok()

    def deployment(self, **fields: Any) -> dict[str, Any]:
        """A new deployment, of a new agent in a new environment unless they are given."""
        body = {"name": "Nightly", "initial_events": HELLO, **fields}
        body.setdefault("agent", None)
        if body["agent"] is None:
            body["agent"] = self.agent()["id"]
        if "environment_id" not in body:
            body["environment_id"] = self.environment()["id"]
        return self.post("/v1/deployments", body).ok()

    def memory_store(self, **fields: Any) -> dict[str, Any]:
        """A new memory store."""
        return self.post("/v1/memory_stores", {"name": "Notes", **fields}).ok()

    def memory(self, store: dict[str, Any], path: str = "/note.md", content: str = "A note.") -> dict[str, Any]:
        """A new memory in a store, with its content."""
        body = {"path": path, "content": content}
        return self.post(f"/v1/memory_stores/{store['id']}/memories?view=full", body).ok()

    def tick(self, *, seconds: float = 0) -> None:
        """Turn the clock forward, and fire whatever is due then."""
        self.clock.advance(seconds=seconds)
        self.run(self.house.ticker.fire())

    def runs(self, deployment: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
        """A deployment's runs, newest first."""
        return self.get("/v1/deployment_runs", query={"deployment_id": deployment["id"], "limit": 1000, **query}).ok()[
            "data"
        ]

    def fire(self, deployment: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Run a deployment now; its record."""
        return self.post(f"/v1/deployments/{deployment['id']}/run", **more).ok()
