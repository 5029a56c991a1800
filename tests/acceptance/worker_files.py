"""Runs under a version of the official client that has nothing of ours: its worker's own code puts a session's skills and
memories on disk, and brings changes back. Reads JSON on stdin, prints JSON: what was there at each step.
"""

import asyncio
import inspect
import json
import sys
from pathlib import Path
from typing import Any

from anthropic import AsyncAnthropic
from anthropic.lib.tools._skills import download_session_skills

SKILL = [
    (
        "greeting/SKILL.md",
        b"---\nname: greeting\ndescription: Greets whoever asks.\n---\nSay hello.\n",
        "text/markdown",
    ),
    ("greeting/scripts/greet.sh", b"#!/bin/sh\necho hello\n", "text/x-shellscript"),
]


def tree(folder: Path) -> dict[str, str]:
    """Texts of the files below a folder, by their paths."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


async def skills(client: AsyncAnthropic, environment_id: str, folder: Path) -> dict[str, Any]:
    """Upload a skill, give it to an agent once by its newest version and once by a fixed one, and fetch both."""
    skill = await client.beta.skills.create(files=SKILL)
    versions = await client.beta.skills.versions.list(skill.id)
    first = versions.data[0]
    named = getattr(first, "version", None) or first.id
    changed = [("greeting/SKILL.md", SKILL[0][1].replace(b"hello", b"goodbye"), "text/markdown")]
    await client.beta.skills.versions.create(skill.id, files=changed)
    told: dict[str, Any] = {}
    for name, version in (("newest", None), ("first", named)):
        wanted: Any = {"type": "custom", "skill_id": skill.id, **({"version": version} if version else {})}
        agent = await client.beta.agents.create(
            name=name, model="claude-opus-5-5", skills=[wanted], tools=[{"type": "agent_toolset_20260401"}]
        )
        session = await client.beta.sessions.create(agent=agent.id, environment_id=environment_id)
        given: Any = {"session": session}
        if "session" not in inspect.signature(download_session_skills).parameters:
            given = {"session_id": session.id}
        made = await download_session_skills(client, workdir=folder / name, **given)
        told[name] = {"made": [path.name for path in made], "files": tree(folder / name)}
    return told


async def memories(client: AsyncAnthropic, environment_id: str, folder: Path) -> dict[str, Any]:
    """Put a memory store on disk, change it here and there, and let the two come together."""
    from anthropic.lib.tools._memories import SessionMemoryStores  # not in the oldest client

    store = await client.beta.memory_stores.create(name="Notes")
    made = {
        path: await client.beta.memory_stores.memories.create(store.id, path=path, content=f"The first {path}")
        for path in ("/kept.md", "/mine.md", "/theirs.md", "/deep/er/gone.md", "/both.md")
    }
    agent = await client.beta.agents.create(
        name="memories", model="claude-opus-5-5", tools=[{"type": "agent_toolset_20260401"}]
    )
    resource: Any = {"type": "memory_store", "memory_store_id": store.id, "access": "read_write"}
    session = await client.beta.sessions.create(agent=agent.id, environment_id=environment_id, resources=[resource])
    [attached] = session.resources
    told: dict[str, Any] = {"mount_path": attached.mount_path}
    attached.mount_path = str(folder / "notes")  # not the place that an agent is told of: that is not ours to write to
    stores = SessionMemoryStores(client, workdir=folder)
    await stores.download(session)
    told["downloaded"] = tree(folder / "notes")

    (folder / "notes" / "mine.md").write_text("Changed here")
    (folder / "notes" / "new").mkdir()
    (folder / "notes" / "new" / "one.md").write_text("Made here")
    (folder / "notes" / "both.md").write_text("Changed here, and lost")
    (folder / "notes" / "deep" / "er" / "gone.md").unlink()
    for path in ("/theirs.md", "/both.md"):
        await client.beta.memory_stores.memories.update(
            made[path].id, memory_store_id=store.id, content="Changed there"
        )
    await stores.finish()
    told["here"] = tree(folder / "notes")
    told["there"] = {
        memory.path: memory.content
        async for memory in client.beta.memory_stores.memories.list(store.id, view="full", limit=20)
    }
    await stores.dispose()
    return told


async def main() -> None:
    given = json.load(sys.stdin)
    folder = Path(given["folder"])
    async with AsyncAnthropic(base_url=given["url"], api_key=given["key"]) as client:
        environment = await client.beta.environments.create(name=f"office of {given['version']}")
        told = {"skills": await skills(client, environment.id, folder)}
        if not given["version"].startswith("0."):
            told["memories"] = await memories(client, environment.id, folder)
    json.dump(told, sys.stdout)


asyncio.run(main())
