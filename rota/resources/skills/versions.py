"""What happens to the versions of skills (contract, skills). A version never changes; its archive is written before its row.

A version is addressed by its id, or by ``latest`` where it is read; with the dated beta by its number and nothing else.
"""

from msgspec import Struct

from rota.base import ids
from rota.base.clock import to_datetime
from rota.base.errors import InvalidRequest, NotFound
from rota.base.page import Position
from rota.base.who import Who
from rota.resources.skills import sql
from rota.resources.skills.actions import LATEST, PREBUILT, Removed, find, is_number, keep
from rota.resources.skills.bundle import Bundle
from rota.resources.skills.wire import (
    OLD_VERSION,
    DatedSkillVersion,
    ListSkillVersions,
    SkillVersion,
    SkillVersionDeleted,
)
from rota.store.tx import Found, Row, Tx, page


class Archive(Struct, frozen=True):
    """A version's archive: where it lies, its size in bytes, and the skill's name."""

    location: str
    size: int
    name: str


def expect(tx: Tx, who: Who, skill_id: str) -> None:
    """Refuse a version of something that has none of the user's, before its upload is read. NotFound, InvalidRequest."""
    if skill_id in PREBUILT:
        raise InvalidRequest(f"Invalid skill_id format: {skill_id}")
    find(tx, who, skill_id)


def create(
    tx: Tx, who: Who, skill_id: str, bundle: Bundle, location: str, *, dated: bool
) -> SkillVersion | DatedSkillVersion:
    """Add a version, which becomes the newest. Its name must be the skill's. NotFound, InvalidRequest."""
    expect(tx, who, skill_id)
    skill = find(tx, who, skill_id)
    if bundle.name != skill.body.name:
        raise InvalidRequest(
            f"Skill name '{bundle.name}' in SKILL.md must be consistent across all versions for a given `skill_id`. "
            f"Expected '{skill.body.name}'."
        )
    # Never the number of another version, also not of one that is gone: agents may still name it.
    number = max(tx.now, skill.updated_at + 1)
    version_id = ids.new(ids.SKILL_VERSION)
    tx.run(
        sql.TOUCH, id=skill.id, updated_at=number, latest_version_id=version_id
    )  # others wait here, and then start anew
    return shown(keep(tx, version_id, skill.id, number, bundle, location), dated=dated)


def get(tx: Tx, who: Who, skill_id: str, version: str, *, dated: bool) -> SkillVersion | DatedSkillVersion:
    """The version. NotFound, InvalidRequest."""
    return shown(_find(tx, who, skill_id, version, dated=dated), dated=dated)


def archive(tx: Tx, who: Who, skill_id: str, version: str, *, dated: bool) -> Archive:
    """Where the version's archive lies. NotFound in the recorded words, which name the skill alone; InvalidRequest."""
    try:
        row = _find(tx, who, skill_id, version, dated=dated, verb="downloading")
    except NotFound:
        raise NotFound(f"Skill not found: {skill_id}") from None
    return Archive(row.location, row.body.size, row.body.name)


def list_(
    tx: Tx, who: Who, position: Position | None, skill_id: str, query: ListSkillVersions, *, dated: bool
) -> Found:
    """A page of a skill's versions, newest first. NotFound."""
    skill = find(tx, who, skill_id)
    found = page(tx, sql.LIST_VERSIONS, limit=query.limit, position=position, skill_id=skill.id)
    return found.map(lambda row: shown(_to_row(row), dated=dated))


def delete(tx: Tx, who: Who, skill_id: str, version: str, *, dated: bool) -> Removed:
    """Remove a version; the newest of the others is then the latest. Only the old rules let the last one go."""
    row = _find(tx, who, skill_id, version, dated=dated, verb="deleting")
    skill = find(tx, who, skill_id)
    other = tx.one(sql.NEWEST_BUT, skill_id=skill.id, version_id=row.id)
    if other is None and not dated:
        raise InvalidRequest("cannot delete a Skill's only version. Delete the Skill, or create another version first")
    tx.run(sql.DELETE_VERSION, id=row.id)
    latest = skill.latest_version_id if skill.latest_version_id != row.id else other[0] if other is not None else None
    tx.run(sql.TOUCH, id=skill.id, updated_at=max(tx.now, skill.updated_at), latest_version_id=latest)
    return Removed(SkillVersionDeleted(str(row.number) if dated else row.id), [row.location])


def shown(version: sql.VersionRow, *, dated: bool) -> SkillVersion | DatedSkillVersion:
    """The version as it goes out."""
    if dated:
        return DatedSkillVersion(
            id=OLD_VERSION + version.id.removeprefix(ids.SKILL_VERSION),
            skill_id=version.skill_id,
            version=str(version.number),
            name=version.body.name,
            description=version.body.description,
            directory=version.body.directory,
            created_at=to_datetime(version.number),
        )
    return SkillVersion(
        id=version.id,
        skill_id=version.skill_id,
        name=version.body.name,
        description=version.body.description,
        created_at=to_datetime(version.number),
    )


def _find(tx: Tx, who: Who, skill_id: str, version: str, *, dated: bool, verb: str = "") -> sql.VersionRow:
    """The version that a path names. ``verb`` is what is done to it where ``latest`` is not taken."""
    _check(version, dated=dated, verb=verb)
    skill = find(tx, who, skill_id)
    if dated:
        row = tx.one(sql.GET_NUMBERED, skill_id=skill.id, number=int(version))
    else:
        named = skill.latest_version_id if version == LATEST else version
        row = tx.one(sql.GET_VERSION, skill_id=skill.id, version_id=named)
    if row is None:
        raise NotFound(f"Skill version not found: {skill_id} version {version}")
    return _to_row(row)


def _check(version: str, *, dated: bool, verb: str) -> None:
    if dated:
        if not is_number(version):
            raise InvalidRequest(f"Invalid version format: {version}")
    elif version == LATEST:
        if verb:
            raise InvalidRequest(
                f"'latest' is not accepted when {verb} a skill version. Address a specific version id: read the skill's "
                "latest_version_id, or GET /v1/skills/{skill_id}/versions/latest, and use that id."
            )
    elif version.isdigit():  # any other text is a version that is not there, as with every id
        raise InvalidRequest(f"Invalid version id: '{version}'")


def _to_row(row: Row) -> sql.VersionRow:
    return sql.VersionRow(row[0], row[1], row[2], row[3], sql.to_version_body(row[4]))
