"""The routes of skills and of their versions. The dated beta among the caller's headers chooses the lane (contract, skills).

Workers read versions and their content, and nothing else of skills.
"""

from functools import partial
from typing import Any

from rota.http.download import attachment
from rota.http.request import Request
from rota.http.route import Route
from rota.resources.skills import actions, versions, wire
from rota.resources.skills.uploads import stored


def _is_dated(req: Request) -> bool:
    return req.asks_for(wire.DATED)


async def create(req: Request) -> Any:
    """Make a skill of what is uploaded."""
    dated = _is_dated(req)
    async with stored(req.parts(), req.blobs, "display_title" if dated else "display_name") as upload:
        return await req.write(actions.create, upload.title, upload.bundle, upload.written, req.policy, dated=dated)


async def list_(req: Request) -> Any:
    """List skills."""
    return _page(req, await req.page(actions.list_, req.query, dated=_is_dated(req)))


async def retrieve(req: Request) -> Any:
    """Fetch one skill."""
    return await req.read(actions.get, req.id, dated=_is_dated(req))


async def delete(req: Request) -> Any:
    """Remove a skill."""
    return await req.write(actions.delete, req.id, dated=_is_dated(req))


async def create_version(req: Request) -> Any:
    """Make a version of what is uploaded."""
    await req.read(versions.expect, req.id)
    async with stored(req.parts(), req.blobs) as upload:
        return await req.write(versions.create, req.id, upload.bundle, upload.written, req.policy, dated=_is_dated(req))


async def list_versions(req: Request) -> Any:
    """List a skill's versions."""
    return _page(req, await req.page(versions.list_, req.id, req.query, dated=_is_dated(req)))


async def retrieve_version(req: Request) -> Any:
    """Fetch one version."""
    return await req.read(versions.get, *req.params, dated=_is_dated(req))


async def delete_version(req: Request) -> Any:
    """Remove one version."""
    return await req.write(versions.delete, *req.params, dated=_is_dated(req))


async def content(req: Request) -> Any:
    """Download a version's files."""
    found = await req.read(versions.archive, *req.params, dated=_is_dated(req))
    return await attachment(
        req, found.location, filename=f"{found.name}.zip", media_type="application/zip", size=found.size
    )


def _page(req: Request, page: Any) -> Any:
    return wire.DatedPage(page.data, page.next_page is not None, page.next_page) if _is_dated(req) else page


_route = partial(Route, unopened="scope")
_WORKERS = ("environment", "session")
"""What a worker needs to put a skill on its disk (contract, environment key)."""

ROUTES = [
    _route(
        "POST", "/v1/skills", "skills.create", "Upload a skill", create,
        wire.Skill, upload=wire.CreateSkill, writes=True, creates=True, dated=wire.DatedSkill,
    ),
    _route(
        "GET", "/v1/skills", "skills.list", "List skills, newest first", list_,
        wire.Skill, query=wire.ListSkills, paged=True, dated=wire.DatedPage[wire.DatedSkill],
    ),
    _route(
        "GET", "/v1/skills/{skill_id}", "skills.retrieve", "Retrieve a skill", retrieve,
        wire.Skill, dated=wire.DatedSkill,
    ),
    _route(
        "DELETE", "/v1/skills/{skill_id}", "skills.delete", "Delete a skill and its versions", delete,
        wire.SkillDeleted, writes=True,
    ),
    _route(
        "POST", "/v1/skills/{skill_id}/versions", "skills.versions.create", "Upload a new version of a skill",
        create_version, wire.SkillVersion, upload=wire.CreateSkillVersion, writes=True, creates=True,
        dated=wire.DatedSkillVersion,
    ),
    _route(
        "GET", "/v1/skills/{skill_id}/versions", "skills.versions.list", "List a skill's versions, newest first",
        list_versions, wire.SkillVersion, query=wire.ListSkillVersions, paged=True,
        dated=wire.DatedPage[wire.DatedSkillVersion],
    ),
    _route(
        "GET", "/v1/skills/{skill_id}/versions/{version}", "skills.versions.retrieve",
        "Retrieve a version by its id, or the latest", retrieve_version, wire.SkillVersion, dated=wire.DatedSkillVersion,
        opens=_WORKERS,
    ),
    _route(
        "DELETE", "/v1/skills/{skill_id}/versions/{version}", "skills.versions.delete", "Delete a version of a skill",
        delete_version, wire.SkillVersionDeleted, writes=True,
    ),
    _route(
        "GET", "/v1/skills/{skill_id}/versions/{version}/content", "skills.versions.content",
        "Download a version's files as a ZIP archive", content, bytes, opens=_WORKERS,
    ),
]  # fmt: skip
