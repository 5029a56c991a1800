"""The official worker's own sync of memory stores, against a real server on each database."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import sdks
from tests.acceptance.server import KEY, Server

VERSION = "2.12.0"
"""The sync is inside the client and has no public name; other versions may call it otherwise."""
PLAIN = {f"/many/{number:02}.md": f"note {number}" for number in range(45)}
BEFORE = PLAIN | {
    "/edited.md": "before", "/both.md": "before", "/raced.md": "before", "/gone.md": "before", "/moved.md": "before",
    "/removed.md": "before", "/turned": "a file", "/empty.md": "", "/é/日誌.md": "Grüße\r\n", "/a b/..c/%2e%2e": "odd",
    "/.anthropic-memory-store": "not the mark",
}  # fmt: skip


def files(memories: dict[str, str]) -> dict[str, str]:
    """Memories as files of a mount; the one that has the name of the client's own mark is never written."""
    return {path[1:]: text for path, text in memories.items() if path != "/.anthropic-memory-store"}


@pytest.fixture
def seen(server: Server, tmp_path: Path) -> Any:
    """What the sync saw and did."""
    store, closed = (server.ask("POST", "/v1/memory_stores", {"name": name}).ok()["id"] for name in ("notes", "rules"))
    for of, memories in ((store, BEFORE), (closed, {"/read.md": "read"})):
        for path, content in memories.items():
            server.ask("POST", f"/v1/memory_stores/{of}/memories", {"path": path, "content": content}).ok()
    given = {"url": server.url, "key": KEY, "folder": str(tmp_path / "mounts"), "store": store, "closed": closed}
    found = sdks.run(VERSION, "sync_memory.py", given)
    found["versions"] = server.ask("GET", f"/v1/memory_stores/{store}/memory_versions?limit=100").ok()["data"]
    found["store"], found["errors"] = store, server.errors()
    return found


def sent(step: Any, store: str) -> Counter[str]:
    """How often each kind of request about the store was sent."""
    return Counter(
        f"{method} {'one' if path.split('/memories')[1] else 'all'}"
        for method, path in (request.split(" ", 1) for request in step["requests"])
        if store in path
    )


def test_the_workers_sync_keeps_a_mount_and_its_store_in_step(seen: Any) -> None:
    store = seen["store"]
    assert seen["held before"] == BEFORE
    assert seen["errors"] == ""

    mounted = seen["mounted"]
    assert mounted["tree"] == files(BEFORE)
    assert mounted["closed"] == {"read.md": "read"}
    assert sent(mounted, store) == {"GET all": 3}, "56 memories in pages of 20, and an end"
    assert sent(seen["idle"], store) == {"GET all": 1}, "nothing has changed, so one page of 100 is all"

    worked = seen["worked"]
    after = {path: text for path, text in BEFORE.items() if path not in ("/moved.md", "/removed.md")}
    after |= {
        "/edited.md": "edited here", "/new/deep/er.md": "made here", "/empty here.md": "", "/both.md": "there",
        "/raced.md": "there, just before", "/elsewhere/moved.md": "before", "/fresh.md": "made there",
    }  # fmt: skip
    assert worked["held"] == after, "a file that is missing is not deleted at once"
    local = files(after) | {"raced.md": "here", "too long.md": "x" * 102_401, "nul.bin": "a\0b"}
    del local["gone.md"]
    assert worked["tree"] == local
    assert worked["closed"] == {"read.md": "scribbled", "more.md": "more"}
    lost, refused = (
        "the upload was refused and the local edit loses path=raced.md",
        "the server rejected this memory file",
    )
    assert sum(lost in said for said in worked["warnings"]) == 1
    assert sum("keeping the remote version path=both.md" in said for said in worked["warnings"]) == 1
    assert sorted(
        said.split("path=")[1].split(" memory_store_id")[0] for said in worked["warnings"] if refused in said
    ) == [
        "nul.bin",
        "too long.md",
    ]
    assert sent(worked, store)["POST one"] == 2, "a lost race is not tried again"

    settled = seen["settled"]
    assert settled["held"] == after
    assert settled["tree"] == local | {"raced.md": "there, just before"}
    assert "POST all" not in sent(settled, store), "what was refused is not tried again until it changes"

    finished = seen["finished"]
    end = {path: text for path, text in after.items() if path != "/gone.md"}
    assert finished["held"] == end, "what is missing is deleted; a file that became a folder is in that folder's way"
    assert "failed to upload memory path=turned/inside.md" in json.dumps(finished["warnings"])
    assert "conflicts with existing memory at `/turned`" in json.dumps(finished["warnings"])
    assert sent(finished, store) == {"GET all": 1, "DELETE one": 1, "POST all": 1}
    assert seen["disposed"] == {}

    assert seen["mounted again"]["tree"] == files(end)
    flushed = seen["flushed"]
    pushed = {f"/flushed {number:02}.md": str(number) for number in range(60)}
    assert flushed["held"] == end | pushed | {"/edited.md": "edited again", "/both.md": "there again"}
    assert "the flush leaves the remote version path=both.md" in json.dumps(flushed["warnings"])
    assert sent(flushed, store)["POST all"] == 60, "at 32 at a time, and none was refused or tried again"

    paths = Counter((each["path"], each["operation"]) for each in seen["versions"])
    assert paths["/edited.md", "modified"] == 2
    assert paths["/raced.md", "modified"] == 1
    assert paths["/gone.md", "deleted"] == 1
    assert paths["/flushed 00.md", "created"] == 1
