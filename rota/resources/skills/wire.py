"""Skills and their versions as they travel, in both shapes (contract, skills).

One row underneath: clients that send the dated beta ``skills-2025-10-02`` see titles and version numbers, all others see
display names and version ids. A version's number is the instant at which it was made, in microseconds since 1970.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct, field

from rota.base.wire import ListQuery

DATED = "skills-2025-10-02"
"""The beta header that asks for the old shapes and the old rules."""
OLD_VERSION = "skill_version_"
"""How version ids begin in the old shape; the rest is the same."""
MAX_TITLE = 255
"""Characters of what a user calls a skill."""
LIMIT = "limit must be between 1 and 1000"


class ListSkills(ListQuery):
    """Query of ``GET /v1/skills``."""

    WORDS: ClassVar[Mapping[str, str]] = {
        "limit": LIMIT,
        "page": "page is not a valid page token.",
        "source": "source must be one of custom, anthropic",
    }

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    source: Literal["custom", "anthropic"] | None = None


class ListSkillVersions(ListQuery):
    """Query of ``GET /v1/skills/{id}/versions``."""

    WORDS: ClassVar[Mapping[str, str]] = {"limit": LIMIT}

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20


class CreateSkillVersion(Struct, kw_only=True):
    """The form of ``POST /v1/skills/{id}/versions``: the files of one folder, or one archive of it (``.zip``, ``.skill``)."""

    files: list[bytes] = field(name="files[]")


class CreateSkill(CreateSkillVersion, kw_only=True):
    """The form of ``POST /v1/skills``. With the dated beta the name is read from ``display_title`` instead."""

    display_name: Annotated[str, Meta(min_length=1, max_length=MAX_TITLE)] | None = None


class Source(Struct, frozen=True):
    """Where a skill comes from."""

    type: Literal["custom"] = "custom"


class Skill(Struct, tag="skill", tag_field="type", frozen=True, kw_only=True):
    """A skill as it goes out. ``latest_version_id`` is empty only after an old client removed every version."""

    id: str
    display_name: str
    latest_version_id: str
    source: Source = Source()
    created_at: datetime
    updated_at: datetime


class SkillVersion(Struct, tag="skill_version", tag_field="type", frozen=True, kw_only=True):
    """A version as it goes out. ``name`` and ``description`` are those of its SKILL.md."""

    id: str
    skill_id: str
    name: str
    description: str
    created_at: datetime


class SkillDeleted(Struct, tag="skill_deleted", tag_field="type", frozen=True):
    """What remains of a deleted skill."""

    id: str


class SkillVersionDeleted(Struct, tag="skill_version_deleted", tag_field="type", frozen=True):
    """What remains of a deleted version; in the old shape its number stands for its id."""

    id: str


class DatedSkill(Struct, tag="skill", tag_field="type", frozen=True, kw_only=True):
    """A skill in the old shape. ``display_title`` is null if none was given, ``latest_version`` if there is no version."""

    id: str
    display_title: str | None
    latest_version: str | None
    source: Literal["custom"] = "custom"
    created_at: datetime
    updated_at: datetime


class DatedSkillVersion(Struct, tag="skill_version", tag_field="type", frozen=True, kw_only=True):
    """A version in the old shape. ``directory`` is the top-level folder as it was uploaded."""

    id: str
    skill_id: str
    version: str
    name: str
    description: str
    directory: str
    created_at: datetime


class DatedPage(Struct, frozen=True):
    """A page of a list in the old shape."""

    data: Sequence[Any]
    has_more: bool
    next_page: str | None
