"""The skills that an agent names (contract, agents and skills)."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from rota.base.errors import InvalidRequest
from rota.base.who import Who
from rota.base.wire import Wire
from rota.store.tx import Tx

LATEST = "latest"
PREBUILT = frozenset({"docx", "pdf", "pptx", "xlsx"})
"""The vendor's own skills, which every server has."""

_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]


class SkillIn(Wire):
    """A skill, as sent. Without a version it is the latest one whenever a session starts."""

    type: Literal["anthropic", "custom"]
    skill_id: _Name
    version: _Name | None = None


SkillsIn: TypeAlias = Annotated[list[SkillIn], Meta(max_length=20)]


class Skill(Struct, frozen=True):
    """A skill of an agent. ``version`` may be ``latest``, which stays unresolved."""

    type: Literal["anthropic", "custom"]
    skill_id: str
    version: str = LATEST


def missing(tx: Tx, who: Who, skills: Sequence[Skill]) -> Skill | None:  # noqa: ARG001 - a store of custom skills needs both
    """The first of the skills that is not there. Prebuilt ones are, in any version; there are no custom ones yet."""
    return next((skill for skill in skills if skill.type == "custom" or skill.skill_id not in PREBUILT), None)


def resolve_skills(tx: Tx, who: Who, given: Sequence[SkillIn] | None) -> list[Skill]:
    """The skills; null is none. InvalidRequest in the recorded words if one is named twice or is not there."""
    resolved = [Skill(skill.type, skill.skill_id, skill.version or LATEST) for skill in given or ()]
    seen: set[str] = set()
    for skill in resolved:
        if skill.skill_id in seen:
            raise InvalidRequest(f'Agent has invalid configuration: duplicate skill_id "{skill.skill_id}"')
        seen.add(skill.skill_id)
    absent = missing(tx, who, resolved)
    if absent is not None:
        version = "" if absent.version == LATEST else f" version `{absent.version}`"
        raise InvalidRequest(f"Agent has invalid configuration: `skill_id` `{absent.skill_id}`{version} not found")
    return resolved
