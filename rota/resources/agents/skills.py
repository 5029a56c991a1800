"""The skills that an agent names (contract, agents and skills)."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from rota.base.errors import InvalidRequest
from rota.base.who import Who
from rota.base.wire import Wire
from rota.resources.skills.actions import LATEST, PREBUILT, find_many
from rota.store.tx import Tx

_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]


class SkillIn(Wire):
    """A skill, as sent. Without a version it is the latest one whenever a session starts."""

    type: Literal["anthropic", "custom"]
    skill_id: _Name
    version: _Name | None = None


SkillsIn: TypeAlias = Annotated[list[SkillIn], Meta(max_length=20)]


class AgentSkill(Struct, frozen=True):
    """A skill of an agent. ``version`` may be ``latest``, which stays unresolved; a custom one's is an id or a number."""

    type: Literal["anthropic", "custom"]
    skill_id: str
    version: str = LATEST


def resolve_skills(tx: Tx, who: Who, given: Sequence[SkillIn] | None) -> list[AgentSkill]:
    """The skills; null is none. InvalidRequest in the recorded words if one is named twice or is not there."""
    resolved = [AgentSkill(skill.type, skill.skill_id, skill.version or LATEST) for skill in given or ()]
    seen: set[str] = set()
    for skill in resolved:
        if skill.skill_id in seen:
            raise InvalidRequest(f'Agent has invalid configuration: duplicate skill_id "{skill.skill_id}"')
        seen.add(skill.skill_id)
    absent = _absent(tx, who, resolved)
    if absent is not None:
        version = given[absent].version if given else None
        named = "" if version is None else f" version `{version}`"
        raise InvalidRequest(
            f"Agent has invalid configuration: `skill_id` `{resolved[absent].skill_id}`{named} not found"
        )
    return resolved


def _absent(tx: Tx, who: Who, skills: Sequence[AgentSkill]) -> int | None:
    """The place of the first skill that is not there. Prebuilt ones are, in any version; custom ones of the workspace may be."""
    found = find_many(tx, [(skill.skill_id, skill.version) for skill in skills if skill.type == "custom"])
    for place, skill in enumerate(skills):
        if skill.type == "anthropic":
            there = skill.skill_id in PREBUILT
        else:
            facts = found.get(skill.skill_id)
            there = facts is not None and facts.workspace_id == who.workspace_id and facts.has(skill.version)
        if not there:
            return place
    return None
