"""The part of the journey that leads through memory stores, their memories and the versions of those.

Like ``journey``, it needs nothing but the client, and asserts nothing.
"""

from hashlib import sha256
from typing import Any

from drive import Drive

STORES, MEMORIES, VERSIONS = "beta.memory_stores", "beta.memory_stores.memories", "beta.memory_stores.memory_versions"
NEVER = "01AAAAAAAAAAAAAAAAAAAAAA"


def digest(content: str) -> str:
    """As a client works it out by itself."""
    return sha256(content.encode()).hexdigest()


async def memory(drive: Drive, style: str) -> dict[str, Any]:
    """All of it."""
    return {
        "stores": await stores(drive, style),
        "memories": await memories(drive, style),
        "versions": await versions(drive, style),
    }


async def stores(drive: Drive, style: str) -> dict[str, Any]:
    """Stores from their making to their end."""
    seen: dict[str, Any] = {}
    seen["plain"] = await drive.do(f"{STORES}.create", name=f"{style} notes")
    seen["rich"] = await drive.do(
        f"{STORES}.create", name=f"{style} letters", description="What was written.", metadata={"floor": "2", "b": "1"}
    )
    plain, rich = seen["plain"]["id"], seen["rich"]["id"]
    seen["retrieved"] = await drive.do(f"{STORES}.retrieve", rich)
    seen["updated"] = await drive.do(
        f"{STORES}.update", rich, name=f"{style} post", description="", metadata={"floor": None, "c": "3"}
    )
    seen["archived"] = await drive.do(f"{STORES}.archive", plain)
    seen["archived again"] = await drive.do(f"{STORES}.archive", plain)
    seen["update of an archived one"] = await drive.refused(f"{STORES}.update", plain, name="x")
    seen["write to an archived one"] = await drive.refused(f"{MEMORIES}.create", plain, path="/a", content="")
    born = {"created_at_gte": seen["plain"]["created_at"]}
    seen["listed live"] = [each["id"] for each in await drive.walk(f"{STORES}.list", limit=1, **born)]
    seen["listed all"] = [
        each["id"] for each in await drive.walk(f"{STORES}.list", limit=1, include_archived=True, **born)
    ]
    seen["deleted"] = await drive.do(f"{STORES}.delete", plain)
    seen["retrieved deleted"] = await drive.refused(f"{STORES}.retrieve", plain)
    seen["memories of a deleted one"] = await drive.refused(f"{MEMORIES}.list", plain)
    seen["empty update"] = await drive.refused(f"{STORES}.update", rich)
    return seen


async def memories(drive: Drive, style: str) -> dict[str, Any]:
    """Memories: written, listed, moved, guarded, removed."""
    seen: dict[str, Any] = {}
    store = (await drive.do(f"{STORES}.create", name=f"{style} shelf"))["id"]
    seen["basic"] = await drive.do(f"{MEMORIES}.create", store, path="/a/one.md", content="Eins.")
    seen["full"] = await drive.do(f"{MEMORIES}.create", store, path="/a/b/zwei.md", content="Zwei.", view="full")
    seen["empty"] = await drive.do(f"{MEMORIES}.create", store, path="/c.md", content="")
    one = seen["basic"]["id"]
    seen["retrieved"] = await drive.do(f"{MEMORIES}.retrieve", one, memory_store_id=store)
    seen["retrieved basic"] = await drive.do(f"{MEMORIES}.retrieve", one, memory_store_id=store, view="basic")
    seen["listed"] = await drive.walk(f"{MEMORIES}.list", store, limit=1)
    seen["listed full"] = await drive.walk(f"{MEMORIES}.list", store, limit=2, view="full")
    seen["listed below"] = await drive.walk(f"{MEMORIES}.list", store, path_prefix="/a/", limit=1)
    seen["folder"] = await drive.walk(f"{MEMORIES}.list", store, depth=1, limit=1)
    seen["inner folder"] = await drive.walk(f"{MEMORIES}.list", store, depth=1, path_prefix="/a/", limit=1)
    where = {"memory_store_id": store}
    seen["updated"] = await drive.do(
        f"{MEMORIES}.update", one, content="Eins!", precondition={"type": "content_sha256", "content_sha256": digest("Eins.")},
        **where,
    )  # fmt: skip
    seen["lost race"] = await drive.refused(
        f"{MEMORIES}.update", one, content="Uno.", precondition={"type": "content_sha256", "content_sha256": digest("Eins.")},
        **where,
    )  # fmt: skip
    seen["moved"] = await drive.do(f"{MEMORIES}.update", one, path="/d/eins.md", view="full", **where)
    seen["taken"] = await drive.refused(f"{MEMORIES}.create", store, path="/c.md", content="")
    seen["moved onto another"] = await drive.refused(f"{MEMORIES}.update", one, path="/c.md", **where)
    seen["below another"] = await drive.refused(f"{MEMORIES}.create", store, path="/c.md/d", content="")
    seen["empty update"] = await drive.refused(f"{MEMORIES}.update", one, **where)
    seen["bad path"] = await drive.refused(f"{MEMORIES}.create", store, path="/../etc/passwd", content="")
    seen["too long"] = await drive.refused(f"{MEMORIES}.create", store, path="/long", content="x" * 102_401)
    seen["null content"] = await drive.refused(f"{MEMORIES}.create", store, path="/null", content=None)
    wrong = {"expected_content_sha256": digest("Eins.")}
    seen["lost race of a deletion"] = await drive.refused(f"{MEMORIES}.delete", one, **wrong, **where)
    seen["bad digest"] = await drive.refused(f"{MEMORIES}.delete", one, expected_content_sha256="abc", **where)
    right = {"expected_content_sha256": digest("Eins!")}
    seen["deleted"] = await drive.do(f"{MEMORIES}.delete", one, **right, **where)
    seen["retrieved deleted"] = await drive.refused(f"{MEMORIES}.retrieve", one, **where)
    seen["unknown store"] = await drive.refused(f"{MEMORIES}.list", f"memstore_{NEVER}")
    return seen


async def versions(drive: Drive, style: str) -> dict[str, Any]:
    """The record of one memory, and what is taken out of it."""
    seen: dict[str, Any] = {}
    store = (await drive.do(f"{STORES}.create", name=f"{style} ledger"))["id"]
    where = {"memory_store_id": store}
    made = await drive.do(f"{MEMORIES}.create", store, path="/a", content="one")
    await drive.do(f"{MEMORIES}.create", store, path="/b", content="other")
    changed = await drive.do(f"{MEMORIES}.update", made["id"], content="two", path="/c", **where)
    seen["current"] = await drive.refused(f"{VERSIONS}.redact", changed["memory_version_id"], **where)
    await drive.do(f"{MEMORIES}.delete", made["id"], **where)
    seen["memory"] = made
    seen["all"] = await drive.walk(f"{VERSIONS}.list", store, limit=1)
    seen["full"] = await drive.walk(f"{VERSIONS}.list", store, limit=3, view="full")
    author = seen["all"][0]["created_by"]["api_key_id"]
    for name, filters in {
        "of one": {"memory_id": made["id"]},
        "deletions": {"operation": "deleted"},
        "by a session": {"session_id": f"sesn_{NEVER}"},
        "by this key": {"api_key_id": author},
        "by a service account": {"service_account_id": f"svac_{NEVER}"},
        "from the change on": {"created_at_gte": changed["updated_at"]},
        "until the first": {"created_at_lte": made["created_at"]},
    }.items():
        seen[name] = [each["id"] for each in await drive.walk(f"{VERSIONS}.list", store, limit=2, **filters)]
    first = made["memory_version_id"]
    seen["retrieved"] = await drive.do(f"{VERSIONS}.retrieve", first, **where)
    seen["retrieved basic"] = await drive.do(f"{VERSIONS}.retrieve", first, view="basic", **where)
    seen["redacted"] = await drive.do(f"{VERSIONS}.redact", first, **where)
    seen["redacted again"] = await drive.do(f"{VERSIONS}.redact", first, **where)
    seen["retrieved redacted"] = await drive.do(f"{VERSIONS}.retrieve", first, **where)
    seen["unknown"] = await drive.refused(f"{VERSIONS}.retrieve", f"memver_{NEVER}", **where)
    return seen
