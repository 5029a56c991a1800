"""The official worker's own mounting and syncing of memory stores, without the worker around it.

Runs inside an environment that holds nothing but the client, at the one version whose inside it knows; reads ``{"url",
"key", "folder", "store", "closed"}`` from stdin and prints what it saw. ``store`` is mounted to be written, ``closed`` to
be read. Asserts nothing.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anthropic
from anthropic.lib.tools._memories import MARKER_PATH, SessionMemoryStores

LOGGER = "anthropic.lib.tools.agent_toolset"


class Log(logging.Handler):
    """Keeps the warnings of the sync."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())

    def take(self) -> list[str]:
        """What was said since it was last asked."""
        said, self.said = self.said, []
        return said


class Wire:
    """Notes each request, and lets somebody else act just before one of them is sent."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.before: tuple[str, Any] | None = None

    async def sent(self, request: Any) -> None:
        """Note a request; do what was to be done before it."""
        self.requests.append(f"{request.method} {request.url.path}")
        if self.before is not None and self.requests[-1] == self.before[0]:
            act, self.before = self.before[1], None
            act()

    def take(self) -> list[str]:
        """What was sent since it was last asked."""
        sent, self.requests = self.requests, []
        return sent


def tree(root: Path) -> dict[str, str]:
    """The files of a mount."""
    return {
        str(path.relative_to(root)): path.read_bytes().decode()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != MARKER_PATH
    }


def mounts(given: Any, name: str) -> Any:
    """A session as the worker has it, as far as the sync looks at it."""
    resources = [
        anthropic.types.beta.sessions.BetaManagedAgentsMemoryStoreResource(
            type="memory_store",
            memory_store_id=given[store],
            mount_path=str(Path(given["folder"], name, store)),
            access=access,
        )
        for store, access in (("store", "read_write"), ("closed", "read_only"))
    ]
    return SimpleNamespace(resources=resources)


async def sync(stores: SessionMemoryStores) -> None:
    """A sync in the middle of a session, as if its time had come."""
    stores._last_sync = float("-inf")
    await stores.sync_if_due()


async def journey(given: Any) -> dict[str, Any]:
    """Two sessions, one after the other."""
    log, wire = Log(), Wire()
    logging.getLogger(LOGGER).addHandler(log)
    logging.getLogger(LOGGER).propagate = False
    hooks = {"request": [wire.sent]}
    client = anthropic.AsyncAnthropic(
        base_url=given["url"], api_key=given["key"], http_client=anthropic.DefaultAsyncHttpxClient(event_hooks=hooks)
    )
    other = anthropic.Anthropic(base_url=given["url"], api_key=given["key"])
    remote = other.beta.memory_stores.memories
    store, closed = given["store"], given["closed"]

    def ids(of: str = store) -> dict[str, str]:
        return {each.path: each.id for each in remote.list(of, limit=100) if each.type == "memory"}

    def held(of: str = store) -> dict[str, str]:
        return {each.path: each.content or "" for each in remote.list(of, view="full") if each.type == "memory"}

    seen: dict[str, Any] = {"held before": held()}

    # A session: mount, work, sync
    stores = SessionMemoryStores(client, workdir=given["folder"])
    await stores.download(mounts(given, "first"))
    root, shut = Path(given["folder"], "first", "store"), Path(given["folder"], "first", "closed")
    seen["mounted"] = {"tree": tree(root), "closed": tree(shut), "requests": wire.take(), "warnings": log.take()}
    await sync(stores)
    seen["idle"] = {"requests": wire.take(), "warnings": log.take()}

    (root / "edited.md").write_text("edited here")
    (root / "new" / "deep").mkdir(parents=True)
    (root / "new" / "deep" / "er.md").write_text("made here")
    (root / "empty here.md").write_text("")
    (root / "both.md").write_text("here")
    (root / "raced.md").write_text("here")
    (root / "too long.md").write_text("x" * 102_401)
    (root / "nul.bin").write_text("a\0b")
    (root / "gone.md").unlink()
    (shut / "read.md").write_text("scribbled")
    known = ids()
    remote.update(known["/both.md"], memory_store_id=store, content="there")
    remote.update(known["/moved.md"], memory_store_id=store, path="/elsewhere/moved.md")
    remote.delete(known["/removed.md"], memory_store_id=store)
    remote.create(store, path="/fresh.md", content="made there")
    remote.create(closed, path="/more.md", content="more")

    def race() -> None:
        remote.update(known["/raced.md"], memory_store_id=store, content="there, just before")

    wire.before = (f"POST /v1/memory_stores/{store}/memories/{known['/raced.md']}", race)
    await sync(stores)
    seen["worked"] = {
        "tree": tree(root),
        "closed": tree(shut),
        "held": held(),
        "requests": wire.take(),
        "warnings": log.take(),
    }
    await sync(stores)
    seen["settled"] = {"tree": tree(root), "held": held(), "requests": wire.take(), "warnings": log.take()}

    # A file becomes a folder, and the end: what is missing now is deleted there
    (root / "turned").unlink()
    (root / "turned").mkdir()
    (root / "turned" / "inside.md").write_text("inside")
    await stores.finish()
    seen["finished"] = {"tree": tree(root), "held": held(), "requests": wire.take(), "warnings": log.take()}
    await stores.dispose()
    seen["disposed"] = {**tree(root), **tree(shut)}

    # Another session that ends badly: it only pushes
    stores = SessionMemoryStores(client, workdir=given["folder"])
    await stores.download(mounts(given, "second"))
    root = Path(given["folder"], "second", "store")
    seen["mounted again"] = {"tree": tree(root), "warnings": log.take()}
    wire.take()
    for number in range(60):
        (root / f"flushed {number:02}.md").write_text(str(number))
    (root / "edited.md").write_text("edited again")
    (root / "fresh.md").unlink()
    (root / "both.md").write_text("here again")
    remote.update(ids()["/both.md"], memory_store_id=store, content="there again")
    wire.take()
    await stores.flush_writes()
    seen["flushed"] = {"held": held(), "requests": wire.take(), "warnings": log.take()}
    await stores.dispose()
    await client.close()
    other.close()
    return seen


def main() -> None:
    """The journey, printed as one JSON object."""
    given = json.load(sys.stdin)
    json.dump(asyncio.run(journey(given)), sys.stdout)


if __name__ == "__main__":
    main()
