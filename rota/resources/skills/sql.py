"""Where skills and their versions rest. What SQL never looks at is in ``body``; a version's archive lies elsewhere, at ``location``."""

import msgspec
from msgspec import Struct

from rota.base.wire import encode
from rota.resources.skills.bundle import PackedFile
from rota.store.tx import Insert, Listing, Query

_NUMBER = "(SELECT v.created_at FROM skill_versions v WHERE v.id = latest_version_id) AS latest_number"
_SKILL = f"id, created_at, updated_at, title, latest_version_id, {_NUMBER}, body"
_VERSION = "id, created_at, skill_id, location, body"

INSERT = Insert(
    "Keep a new skill.",
    "skills",
    {
        "id": "text",
        "workspace_id": "text",
        "created_at": "bigint",
        "updated_at": "bigint",
        "title": "text",
        "latest_version_id": "text",
        "body": "text",
    },
)
INSERT_VERSION = Insert(
    "Keep a new version of a skill.",
    "skill_versions",
    {"id": "text", "skill_id": "text", "created_at": "bigint", "location": "text", "body": "text", "files": "text"},
)
GET = Query(
    "One skill of a workspace, and when its newest version was made.",
    f"SELECT {_SKILL} FROM skills WHERE id = :id AND workspace_id = :workspace_id",
)
BY_TITLE = Query(
    "A skill of a workspace that has this title.",
    "SELECT id FROM skills WHERE workspace_id = :workspace_id AND title = :title LIMIT 1",
)
LIST = Listing(
    "Skills of a workspace, newest first.",
    f"SELECT {_SKILL} FROM skills WHERE workspace_id = :workspace_id",
)
FIND = Query(
    "Skills by id, each with its latest version and those of the asked ones that it has, by id and by number; for agents and "
    "sets of runs.",
    "SELECT s.id, s.workspace_id, s.latest_version_id, v.id, v.created_at, v.body FROM skills s LEFT JOIN skill_versions v "
    "ON v.skill_id = s.id AND (v.id = ANY(:versions) OR v.created_at = ANY(:numbers) OR v.id = s.latest_version_id) "
    "WHERE s.id = ANY(:ids)",
)
TOUCH = Query(
    "Say which version of a skill is the newest, and when that changed.",
    "UPDATE skills SET updated_at = :updated_at, latest_version_id = :latest_version_id WHERE id = :id",
)
DELETE = Query("Remove a skill.", "DELETE FROM skills WHERE id = :id")
GET_VERSION = Query(
    "One version of a skill, by its id.",
    f"SELECT {_VERSION} FROM skill_versions WHERE skill_id = :skill_id AND id = :version_id",
)
GET_NUMBERED = Query(
    "One version of a skill, by its number.",
    f"SELECT {_VERSION} FROM skill_versions WHERE skill_id = :skill_id AND created_at = :number",
)
NEWEST_BUT = Query(
    "The newest version of a skill but for one.",
    "SELECT id FROM skill_versions WHERE skill_id = :skill_id AND id <> :version_id ORDER BY created_at DESC LIMIT 1",
)
LOCATIONS = Query(
    "Where the archives of a skill's versions lie.",
    "SELECT location FROM skill_versions WHERE skill_id = :skill_id",
)
LIST_VERSIONS = Listing(
    "Versions of a skill, newest first.",
    f"SELECT {_VERSION} FROM skill_versions WHERE skill_id = :skill_id",
)
DELETE_VERSION = Query("Remove a version.", "DELETE FROM skill_versions WHERE id = :id")
DELETE_VERSIONS = Query("Remove all versions of a skill.", "DELETE FROM skill_versions WHERE skill_id = :skill_id")
LOCATE = Query(
    "Where the archives of versions of a workspace's skills lie.",
    "SELECT v.id, v.location FROM skill_versions v JOIN skills s ON s.id = v.skill_id "
    "WHERE v.id = ANY(:version_ids) AND s.workspace_id = :workspace_id",
)
KNOWN = Query(
    "Those of some archives that belong to a version.",
    "SELECT location FROM skill_versions WHERE location = ANY(:locations)",
)


class SkillBody(Struct, frozen=True):
    """What a skill's row says besides. ``name`` is what every version's SKILL.md says, for ever."""

    name: str


class VersionBody(Struct, frozen=True, kw_only=True):
    """What a version's row says besides. ``digest`` is that of its content; ``size`` is the archive's, in bytes."""

    name: str
    description: str
    directory: str
    digest: str
    size: int


class SkillRow(Struct, frozen=True):
    """A row of ``GET`` or ``LIST``; instants in microseconds UTC. ``latest_number`` is the newest version's number."""

    id: str
    created_at: int
    updated_at: int
    title: str | None
    latest_version_id: str | None
    latest_number: int | None
    body: SkillBody


class VersionRow(Struct, frozen=True):
    """A row of a version; ``number`` is when it was made, in microseconds UTC, and its number."""

    id: str
    number: int
    skill_id: str
    location: str
    body: VersionBody


to_skill_body = msgspec.json.Decoder(SkillBody).decode
to_version_body = msgspec.json.Decoder(VersionBody).decode
to_files = msgspec.json.Decoder(list[PackedFile]).decode


def to_text(body: SkillBody | VersionBody | list[PackedFile]) -> str:
    """A ``body`` or ``files`` column."""
    return encode(body).decode()
