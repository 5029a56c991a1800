"""Agents that name skills: what must be there when the agent is written, and what may go afterwards."""

from typing import Any

import msgspec
import pytest

from rota.resources.skills.actions import Facts, find_many
from tests.api import Api
from tests.resources.skills import DATED, NEVER, skill, version
from tests.resources.test_run_errors import second_workspace

INVALID = "Agent has invalid configuration: "


def named(skill_id: str, version: str | None = None) -> dict[str, Any]:
    """A reference as sent."""
    return {"type": "custom", "skill_id": skill_id, **({"version": version} if version is not None else {})}


def refused(api: Api, *skills: dict[str, Any]) -> str:
    """What is said of an agent with these skills."""
    return api.post("/v1/agents", {"name": "Clerk", "model": "claude-opus-5-5", "skills": list(skills)}).refused(400)


def test_an_agent_names_a_custom_skill(api: Api) -> None:
    made = skill(api)
    number = api.get(f"/v1/skills/{made['id']}", headers=DATED).ok()["latest_version"]
    assert api.agent(skills=[named(made["id"])])["skills"] == [named(made["id"], "latest")]
    for each in ("latest", made["latest_version_id"], number):
        assert api.agent(skills=[named(made["id"], each)])["skills"] == [named(made["id"], each)]


def test_latest_stays_unresolved(api: Api) -> None:
    made = skill(api)
    agent = api.agent(skills=[named(made["id"])])
    version(api, made)
    assert api.get(f"/v1/agents/{agent['id']}").ok()["skills"] == [named(made["id"], "latest")]


def test_a_skill_that_is_not_there(still_api: Api) -> None:
    made = skill(still_api)
    absent = f"skill_{NEVER}"
    assert refused(still_api, named(absent)) == f"{INVALID}`skill_id` `{absent}` not found"
    for each in ("latest", f"skver_{NEVER}", "7"):
        assert refused(still_api, named(absent, each)) == f"{INVALID}`skill_id` `{absent}` version `{each}` not found"
    for each in (f"skver_{NEVER}", "1759178010641129", "None", "x", "9" * 64):
        said = refused(still_api, named(made["id"], each))
        assert said == f"{INVALID}`skill_id` `{made['id']}` version `{each}` not found"


def test_the_first_that_is_not_there_is_named(still_api: Api) -> None:
    made = skill(still_api)
    said = refused(still_api, named(made["id"]), named("skill_b"), {"type": "anthropic", "skill_id": "a"})
    assert said == f"{INVALID}`skill_id` `skill_b` not found"


def test_a_version_of_another_skill_is_not_there(still_api: Api) -> None:
    one, other = skill(still_api), skill(still_api)
    said = refused(still_api, named(one["id"], other["latest_version_id"]))
    assert said == f"{INVALID}`skill_id` `{one['id']}` version `{other['latest_version_id']}` not found"


@pytest.mark.parametrize("kind", ["custom", "anthropic"])
def test_each_kind_has_its_own_names(still_api: Api, kind: str) -> None:
    made = skill(still_api)
    wrong = {"custom": "xlsx", "anthropic": made["id"]}[kind]
    assert refused(still_api, {"type": kind, "skill_id": wrong}) == f"{INVALID}`skill_id` `{wrong}` not found"


def test_another_workspaces_skill_is_not_there(api: Api) -> None:
    made = skill(api)
    _, key = second_workspace(api)
    body = {"name": "Clerk", "model": "claude-opus-5-5", "skills": [named(made["id"])]}
    assert api.post("/v1/agents", body, key=key).refused(400) == f"{INVALID}`skill_id` `{made['id']}` not found"


def test_a_deleted_skill_leaves_the_agents_reference(api: Api) -> None:
    made = skill(api)
    agent = api.agent(skills=[named(made["id"], made["latest_version_id"])])
    api.delete(f"/v1/skills/{made['id']}").ok()
    kept = api.get(f"/v1/agents/{agent['id']}").ok()
    assert kept["skills"] == agent["skills"]
    renamed = api.post(f"/v1/agents/{agent['id']}", {"name": "Other"}).ok()
    assert renamed["skills"] == agent["skills"]
    again = api.post(f"/v1/agents/{agent['id']}", {"skills": agent["skills"]}).refused(400)
    assert again == f"{INVALID}`skill_id` `{made['id']}` version `{made['latest_version_id']}` not found"


def test_a_skill_without_versions_has_no_latest(api: Api) -> None:
    made = skill(api, dated=True)
    api.delete(f"/v1/skills/{made['id']}/versions/{made['latest_version']}", headers=DATED).ok()
    assert refused(api, named(made["id"])) == f"{INVALID}`skill_id` `{made['id']}` not found"


def test_many_are_found_at_once(api: Api) -> None:
    one, two = skill(api), skill(api)
    added = version(api, one)
    first = api.get(f"/v1/skills/{one['id']}/versions", headers=DATED).ok()["data"][1]["version"]
    refs = [(one["id"], added["id"]), (one["id"], first), (one["id"], "latest"), (one["id"], f"skver_{NEVER}"),
            (two["id"], "latest"), ("skill_x", "latest"), (two["id"], added["id"])]  # fmt: skip
    found = api.read(find_many, refs)
    assert {skill_id: msgspec.structs.replace(facts, bodies={}) for skill_id, facts in found.items()} == {
        one["id"]: Facts(one["id"], api.who.workspace_id, added["id"], frozenset({added["id"], first})),
        two["id"]: Facts(two["id"], api.who.workspace_id, two["latest_version_id"], frozenset()),
    }
    assert api.read(find_many, []) == {}


def test_a_version_is_pinned_however_it_is_called(api: Api) -> None:
    made = skill(api)
    added = version(api, made)
    newest, oldest = api.get(f"/v1/skills/{made['id']}/versions", headers=DATED).ok()["data"]
    first = made["latest_version_id"]
    refs = [(made["id"], "latest"), (made["id"], oldest["version"]), (made["id"], first)]
    facts = api.read(find_many, refs)[made["id"]]
    pins = [facts.pin(asked) for _, asked in refs]
    assert [pin.version_id for pin in pins] == [added["id"], first, first]
    assert {(pin.name, pin.description) for pin in pins} == {(added["name"], added["description"])}
    assert api.read(find_many, [(made["id"], newest["version"])])[made["id"]].pin(newest["version"]) == pins[0]
