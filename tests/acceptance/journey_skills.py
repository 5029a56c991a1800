"""The journey's part about skills: uploads, versions, downloads, the agents that name them, and the worker that fetches them.

Clients of the dated beta and those of today are told apart by the arguments that they have. Runs inside an environment that
holds nothing but the client.
"""

import inspect
import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from drive import Drive
from schemas import find

NEVER = "01AAAAAAAAAAAAAAAAAAAAAA"
SCRIPT = b"#!/bin/sh\necho hello\n"


def manifest(name: str, description: str) -> bytes:
    """A SKILL.md."""
    return f"---\nname: {name}\ndescription: {description}\n---\n\nRead this first.\n".encode()


def archive(name: str, description: str) -> bytes:
    """The same as an archive, with an executable script."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"{name}/SKILL.md", manifest(name, description))
        script = zipfile.ZipInfo(f"{name}/scripts/run.sh")
        script.external_attr = 0o100755 << 16
        packed.writestr(script, SCRIPT)
    return out.getvalue()


async def skills(drive: Drive, style: str, office: str) -> dict[str, Any]:
    """Skills from their making to their end."""
    seen: dict[str, Any] = {}
    name = f"letters-{style}"
    dated = "display_title" in inspect.signature(find(drive.client, "beta.skills.create")).parameters
    title = {"display_title" if dated else "display_name": f"{style} letters"}
    files = [(f"{name}/SKILL.md", manifest(name, "Writes letters.")), (f"{name}/forms/a.md", b"Dear Sir or Madam,\n")]
    seen["made"] = await drive.do("beta.skills.create", files=files, **title)
    skill = seen["made"]["id"]
    seen["first"] = (await drive.walk("beta.skills.versions.list", skill))[0]
    seen["unnamed"] = await drive.do("beta.skills.create", files=[("stamps.zip", archive("stamps", "Stamps letters."))])
    seen["retrieved"] = await drive.do("beta.skills.retrieve", skill)
    seen["second"] = await drive.do(
        "beta.skills.versions.create", skill, files=[("letters.skill", archive(name, "Writes more."))]
    )
    seen["moved on"] = await drive.do("beta.skills.retrieve", skill)
    seen["listed"] = [each["id"] for each in await drive.walk("beta.skills.list", limit=1)]
    seen["custom"] = [each["id"] for each in await drive.walk("beta.skills.list", source="custom")]
    seen["prebuilt"] = await drive.walk("beta.skills.list", source="anthropic")
    seen["versions"] = [each["id"] for each in await drive.walk("beta.skills.versions.list", skill, limit=1)]
    slot = "version" if dated else "id"
    first, second = seen["first"][slot], seen["second"][slot]
    seen["version"] = await drive.do("beta.skills.versions.retrieve", first, skill_id=skill)
    if not dated:
        seen["latest"] = await drive.do("beta.skills.versions.retrieve", "latest", skill_id=skill)
        seen["latest deleted"] = await drive.refused("beta.skills.versions.delete", "latest", skill_id=skill)
        seen["by number"] = await drive.refused("beta.skills.versions.retrieve", "1759178010641129", skill_id=skill)
    raw = await drive.fetch("beta.skills.versions.download", second, skill_id=skill)
    with zipfile.ZipFile(io.BytesIO(raw)) as content:
        seen["content"] = {each.filename: oct(each.external_attr >> 16) for each in content.infolist()}
    seen["worker"] = await _worker(drive, style, office, skill, first)
    seen["named twice"] = await drive.refused("beta.skills.create", files=files, **title) if dated else None
    seen["too long"] = await drive.refused("beta.skills.create", files=files, **dict.fromkeys(title, "x" * 256))
    seen["no folder"] = await drive.refused("beta.skills.create", files=[("SKILL.md", manifest(name, "x"))])
    seen["way out"] = await drive.refused("beta.skills.create", files=[*files, (f"{name}/../../a", b"x")])
    seen["other name"] = await drive.refused(
        "beta.skills.versions.create", skill, files=[("a/SKILL.md", manifest("a", "x"))]
    )
    seen["prebuilt version"] = await drive.refused("beta.skills.versions.create", "xlsx", files=files)
    seen["unknown"] = await drive.refused("beta.skills.retrieve", f"skill_{NEVER}")
    seen["version deleted"] = await drive.do("beta.skills.versions.delete", first, skill_id=skill)
    seen["deleted twice"] = await drive.refused("beta.skills.versions.delete", first, skill_id=skill)
    other = seen["unnamed"]["id"]
    if dated:
        seen["with versions"] = await drive.refused("beta.skills.delete", other)
        await drive.do("beta.skills.versions.delete", seen["unnamed"]["latest_version"], skill_id=other)
    else:
        last = seen["unnamed"]["latest_version_id"]
        seen["only version"] = await drive.refused("beta.skills.versions.delete", last, skill_id=other)
    seen["deleted"] = await drive.do("beta.skills.delete", other)
    seen["retrieved deleted"] = await drive.refused("beta.skills.retrieve", other)
    return seen


async def _worker(drive: Drive, style: str, office: str, skill: str, version: str) -> dict[str, Any]:
    """What the worker's own helper makes of the skills of a session: one pinned, one at its latest."""
    named = [{"type": "custom", "skill_id": skill, "version": version}]
    agent = await drive.do(
        "beta.agents.create",
        name=f"{style} stationer",
        model="claude-opus-5-5",
        skills=named,
        tools=[{"type": "agent_toolset_20260401"}],
    )
    seen: dict[str, Any] = {"agent": agent["skills"], "asked": named}
    session = await drive.do("beta.sessions.create", agent=agent["id"], environment_id=office)
    seen["session"] = session["agent"]["skills"]
    seen["missing"] = await drive.refused(
        "beta.agents.create",
        name="x",
        model="claude-opus-5-5",
        skills=[{"type": "custom", "skill_id": skill, "version": "7"}],
    )
    if style == "async":
        seen["pinned"] = await _fetch(drive.client, session["id"])
        await drive.do("beta.agents.update", agent["id"], version=1, skills=[{"type": "custom", "skill_id": skill}])
        newer = await drive.do("beta.sessions.create", agent=agent["id"], environment_id=office)
        seen["newest"] = await _fetch(drive.client, newer["id"])
    return seen


async def _fetch(client: Any, session_id: str) -> dict[str, str]:
    """The files that the helper has put below the worker's folder, each with its mode; and nothing else of ours runs."""
    from anthropic.lib.tools._skills import download_session_skills

    with tempfile.TemporaryDirectory() as folder:
        if "session" in inspect.signature(download_session_skills).parameters:
            session = await client.beta.sessions.retrieve(session_id)
            await download_session_skills(client, session=session, workdir=folder)
        else:
            await download_session_skills(client, session_id=session_id, workdir=folder)
        return _files(Path(folder))


def _files(folder: Path) -> dict[str, str]:
    """Files below a folder and their modes."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): oct(path.stat().st_mode & 0o777) for path in found}
