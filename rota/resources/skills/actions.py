"""What happens to skills (contract, skills). Their versions are in ``versions``.

``dated`` says that the caller sent the dated beta, and so wants the old shapes and rules.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from rota.base import ids
from rota.base.clock import to_datetime
from rota.base.errors import InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.policy import Policy
from rota.base.who import Who
from rota.queue import objects
from rota.resources.skills import sql
from rota.resources.skills.bundle import Bundle
from rota.resources.skills.wire import DatedSkill, ListSkills, Skill, SkillDeleted
from rota.store.blob import Written
from rota.store.tx import Found, Row, Tx, page

LATEST = "latest"
PREBUILT = frozenset({"docx", "pdf", "pptx", "xlsx"})
"""The vendor's own skills, which every server has."""


class Pinned(Struct, frozen=True):
    """One version of a skill, as whoever uses it needs to know it."""

    skill_id: str
    version_id: str
    name: str
    description: str


class Facts(Struct, frozen=True):
    """What a fire or an agent needs to know of a custom skill. ``versions`` are those that exist of those asked for;
    ``bodies`` has the id and the body of each of them, and of the latest.
    """

    id: str
    workspace_id: str
    latest_version_id: str | None
    versions: frozenset[str]
    bodies: Mapping[str, tuple[str, str]] = {}

    def has(self, version: str) -> bool:
        """Whether the skill has a version that was asked for; ``latest`` is whichever is the newest, if there is one."""
        return self.latest_version_id is not None if version == LATEST else version in self.versions

    def pin(self, version: str) -> Pinned:
        """A version that the skill ``has``."""
        version_id, text = self.bodies[self.latest_version_id or "" if version == LATEST else version]
        body = sql.to_version_body(text)
        return Pinned(self.id, version_id, body.name, body.description)


def find_many(tx: Tx, refs: Sequence[tuple[str, str]]) -> dict[str, Facts]:
    """Those of the custom skills that exist, in any workspace; ``refs`` are (skill id, version or ``latest``).

    A version is its id or its number, as clients of either shape keep it.
    """
    if not refs:
        return {}
    asked: dict[str, set[str]] = {}
    for skill_id, version in refs:
        asked.setdefault(skill_id, set()).add(version)
    versions = {version for _, version in refs if version != LATEST}
    rows = tx.all(
        sql.FIND,
        ids=list(asked),
        versions=list(versions),
        numbers=[int(version) for version in versions if is_number(version)],
    )
    found: dict[str, Facts] = {}
    for row in rows:
        before = found.get(row[0]) or Facts(row[0], row[1], row[2], frozenset())
        names = frozenset[str]() if row[3] is None else {row[3], str(row[4])}
        found[row[0]] = msgspec.structs.replace(
            before,
            versions=before.versions | (names & asked[row[0]]),
            bodies={**before.bodies, **dict.fromkeys(names, (row[3], row[5]))},
        )
    return found


def is_number(version: str) -> bool:
    """Whether a text could be the number of a version: microseconds since 1970."""
    return version.isascii() and version.isdigit() and len(version) <= 18


def create(
    tx: Tx, who: Who, title: str | None, bundle: Bundle, written: Written, policy: Policy, *, dated: bool
) -> Skill | DatedSkill:
    """Make a skill of an upload whose archive has been ``written``. In the old rules a title may not be there twice."""
    if dated and title is not None and tx.one(sql.BY_TITLE, workspace_id=who.workspace_id, title=title) is not None:
        raise InvalidRequest(f"Skill cannot reuse an existing display_title: {title}")
    skill_id, version_id = ids.new(ids.SKILL), ids.new(ids.SKILL_VERSION)
    body = sql.SkillBody(bundle.name)
    tx.insert(sql.INSERT, [(skill_id, who.workspace_id, tx.now, tx.now, title, version_id, sql.to_text(body))])
    keep(tx, version_id, skill_id, tx.now, bundle, written, policy)
    return shown(sql.SkillRow(skill_id, tx.now, tx.now, title, version_id, tx.now, body), dated=dated)


def keep(
    tx: Tx, version_id: str, skill_id: str, number: int, bundle: Bundle, written: Written, policy: Policy
) -> sql.VersionRow:
    """Write the row of a version. Unavailable if its archive may have been taken for nobody's."""
    objects.check(tx, written, policy.object_grace)
    body = sql.VersionBody(
        name=bundle.name,
        description=bundle.description,
        directory=bundle.directory,
        digest=bundle.digest,
        size=written.size,
    )
    row = (version_id, skill_id, number, written.location, sql.to_text(body), sql.to_text(bundle.files))
    tx.insert(sql.INSERT_VERSION, [row])
    return sql.VersionRow(version_id, number, skill_id, written.location, body)


def get(tx: Tx, who: Who, skill_id: str, *, dated: bool) -> Skill | DatedSkill:
    """The skill. NotFound."""
    return shown(find(tx, who, skill_id), dated=dated)


def find(tx: Tx, who: Who, skill_id: str) -> sql.SkillRow:
    """The skill's row. NotFound."""
    row = tx.one(sql.GET, id=skill_id, workspace_id=who.workspace_id)
    if row is None:
        raise NotFound(f"Skill not found: {skill_id}")
    return _to_row(row)


def list_(tx: Tx, who: Who, position: Position | None, query: ListSkills, *, dated: bool) -> Found:
    """A page of custom skills, newest first. The vendor's own have no content here and so are not listed."""
    if query.source == "anthropic":
        return Found([])
    found = page(tx, sql.LIST, limit=query.limit, position=position, workspace_id=who.workspace_id)
    return found.map(lambda row: shown(_to_row(row), dated=dated))


def delete(tx: Tx, who: Who, skill_id: str, *, dated: bool) -> SkillDeleted:
    """Remove a skill and its versions; in the old rules only one without versions. Agents keep their references."""
    skill = find(tx, who, skill_id)
    locations = [row[0] for row in tx.all(sql.LOCATIONS, skill_id=skill.id)]
    if dated and locations:
        raise InvalidRequest("Cannot delete skill with existing versions. Delete all versions first.")
    tx.run(sql.DELETE_VERSIONS, skill_id=skill.id)
    tx.run(sql.DELETE, id=skill.id)
    objects.bury(tx, locations)
    return SkillDeleted(skill.id)


def locate(tx: Tx, who: Who, version_ids: Sequence[str]) -> dict[str, str]:
    """Where the archives of those of the versions lie that are there."""
    return dict(tx.all(sql.LOCATE, version_ids=list(version_ids), workspace_id=who.workspace_id))


def known(tx: Tx, locations: Sequence[str]) -> set[str]:
    """Those of the locations where a version's archive lies."""
    return {row[0] for row in tx.all(sql.KNOWN, locations=list(locations))}


def shown(skill: sql.SkillRow, *, dated: bool) -> Skill | DatedSkill:
    """The skill as it goes out."""
    if dated:
        return DatedSkill(
            id=skill.id,
            display_title=skill.title,
            latest_version=None if skill.latest_number is None else str(skill.latest_number),
            created_at=to_datetime(skill.created_at),
            updated_at=to_datetime(skill.updated_at),
        )
    return Skill(
        id=skill.id,
        display_name=skill.body.name if skill.title is None else skill.title,
        latest_version_id=skill.latest_version_id or "",
        created_at=to_datetime(skill.created_at),
        updated_at=to_datetime(skill.updated_at),
    )


def _to_row(row: Row) -> sql.SkillRow:
    return sql.SkillRow(row[0], row[1], row[2], row[3], row[4], row[5], sql.to_skill_body(row[6]))
