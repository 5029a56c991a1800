"""Whom an agent may delegate to: the two forms, what they resolve to, and how refusals read (contract, multi-agent)."""

from typing import Any

import msgspec
import pytest
from anthropic.types.beta import BetaManagedAgentsAgent

from rota.resources.agents import actions
from rota.resources.agents.wire import CreateAgent
from tests.api import Api

SELF = {"type": "self"}
ADVISOR = {"type": "advisor", "model": "claude-opus-5-5"}
INVALID = "Agent has invalid configuration: "


def coordinator(*agents: Any) -> dict[str, Any]:
    return {"type": "coordinator", "agents": list(agents)}


def members(**fields: Any) -> dict[str, Any]:
    return {"type": "multiagent_20261001", **fields}


def enabled(**fields: Any) -> dict[str, Any]:
    return {"type": "enabled", **fields}


def pinned(agent_id: str, version: int = 1) -> dict[str, Any]:
    return {"type": "agent", "id": agent_id, "version": version}


DISABLED = {"type": "disabled"}
ON = enabled(inline_agents={"type": "enabled"}, predefined_agents=[])


def create(api: Api, multiagent: dict[str, Any]) -> Any:
    return api.post("/v1/agents", {"name": "Lead", "model": "m", "multiagent": multiagent})


def update(api: Api, agent: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return api.post(f"/v1/agents/{agent['id']}", fields).ok()


# A coordinator's roster


def test_a_roster_pins_the_latest_versions_at_the_time_of_saving(api: Api) -> None:
    one, two = api.agent(name="One"), api.agent(name="Two")
    update(api, one, system="Second.")
    update(api, two, system="Second.")
    lead = create(api, coordinator(ADVISOR, one["id"], {"type": "agent", "id": two["id"], "version": 1}, SELF)).ok()
    expected = coordinator(pinned(one["id"], 2), pinned(two["id"], 1), pinned(lead["id"]), ADVISOR)
    assert lead["multiagent"] == expected
    update(api, one, system="Third.")
    assert api.get(f"/v1/agents/{lead['id']}").ok() == lead
    assert update(api, lead, multiagent=coordinator(one["id"]))["multiagent"] == coordinator(pinned(one["id"], 3))


def test_the_agent_itself_is_always_the_version_that_names_it(api: Api) -> None:
    lead = create(api, coordinator(SELF)).ok()
    assert lead["multiagent"] == coordinator(pinned(lead["id"], 1))
    renamed = update(api, lead, name="Chief")
    assert (renamed["version"], renamed["multiagent"]) == (2, coordinator(pinned(lead["id"], 2)))
    assert api.get(f"/v1/agents/{lead['id']}", query={"version": 1}).ok() == lead
    for same in (SELF, lead["id"], {"type": "agent", "id": lead["id"]}, pinned(lead["id"], 2)):
        assert update(api, lead, multiagent=coordinator(same)) == renamed


def test_an_older_version_of_the_agent_itself_is_a_member_like_others(sqlite_api: Api) -> None:
    lead = sqlite_api.agent(name="Old")
    update(sqlite_api, lead, name="Lead")
    roster = coordinator(pinned(lead["id"], 1))
    newer = update(sqlite_api, lead, multiagent=roster)
    assert (newer["version"], newer["multiagent"]) == (3, roster)
    assert update(sqlite_api, lead, name="Chief")["multiagent"] == roster


@pytest.mark.parametrize("cleared", [None, members(subagents=DISABLED, workflows=DISABLED)])
def test_a_roster_is_replaced_or_cleared(sqlite_api: Api, cleared: Any) -> None:
    lead = create(sqlite_api, coordinator(SELF)).ok()
    expected = None if cleared is None else members(advisor=DISABLED, subagents=DISABLED, workflows=DISABLED)
    assert update(sqlite_api, lead, multiagent=cleared)["multiagent"] == expected


def test_an_update_that_leaves_the_roster_alone_does_not_ask_after_its_members(sqlite_api: Api) -> None:
    aide = sqlite_api.agent(name="Aide")["id"]
    lead = create(sqlite_api, coordinator(aide)).ok()
    sqlite_api.post(f"/v1/agents/{aide}/archive").ok()
    renamed = update(sqlite_api, lead, name="Chief")
    assert renamed["multiagent"] == lead["multiagent"]
    response = sqlite_api.post(f"/v1/agents/{lead['id']}", {"multiagent": renamed["multiagent"]})
    assert response.refused(400) == f"{INVALID}subagent {aide} is archived"


@pytest.mark.parametrize(
    ("agents", "message"),
    [
        ([], "multiagent.agents: value must contain at least 1 item"),
        ([f"agent_{number}" for number in range(21)], "multiagent.agents: value must contain no more than 20 item(s)"),
        (["agent_01none"], f"{INVALID}subagent agent_01none is not a valid agent ID"),
        ([{"type": "agent", "id": "nonsense", "version": 3}], f"{INVALID}subagent nonsense is not a valid agent ID"),
        ([SELF, SELF], None),
        ([ADVISOR, {**ADVISOR, "model": "other"}], "multiagent.coordinator.agents: at most one advisor is allowed"),
        ([{"type": "advisor"}], "multiagent.agents.0.model: Field required"),
        ([{"type": "agent", "id": "agent_01none", "version": 0}], "multiagent.agents[0].version: must be greater than or equal to 1"),
        ([{"type": "friend"}], 'Failed to parse request: multiagent.agents[0].type: "friend" is not a valid value'),
        ([{**SELF, "version": 1}], 'Failed to parse request body: unknown field "version"'),
    ],
)  # fmt: skip
def test_a_roster_is_refused(sqlite_api: Api, agents: list[Any], message: str | None) -> None:
    said = create(sqlite_api, coordinator(*agents)).refused(400)
    assert message is None or said == message


def test_members_are_live_agents_of_the_workspace(api: Api) -> None:
    gone = api.agent(name="Gone")["id"]
    api.post(f"/v1/agents/{gone}/archive").ok()
    elsewhere = msgspec.structs.replace(api.who, workspace_id="wrkspc_elsewhere")
    foreign = api.write(actions.create, elsewhere, CreateAgent(name="Foreign", model="m")).id
    live = api.agent(name="Live")["id"]
    for entry, message in (
        (gone, f"subagent {gone} is archived"),
        (pinned(gone), f"subagent {gone} is archived"),
        (foreign, f"subagent {foreign} is not a valid agent ID"),
        (pinned(live, 2), f"subagent {live} version 2 not found"),
    ):
        assert create(api, coordinator(entry)).refused(400) == INVALID + message


def test_members_are_distinct_agents(sqlite_api: Api) -> None:
    aide = sqlite_api.agent(name="Aide")
    update(sqlite_api, aide, system="Second.")
    for other in (aide["id"], pinned(aide["id"], 1), pinned(aide["id"], 2)):
        assert create(sqlite_api, coordinator(aide["id"], SELF, other)).refused(400) == (
            f"multiagent.coordinator.agents: entries must be distinct agents; {aide['id']} is named more than once"
        )
    said = sqlite_api.post(f"/v1/agents/{aide['id']}", {"multiagent": coordinator(SELF, aide["id"])}).refused(400)
    assert said.startswith("agent.multiagent.coordinator.agents: entries must be distinct agents")


@pytest.mark.parametrize("own", [coordinator(SELF), coordinator(ADVISOR), members()])
def test_a_member_has_no_multiagent_configuration_of_its_own(sqlite_api: Api, own: dict[str, Any]) -> None:
    aide = sqlite_api.agent(name="Aide")
    update(sqlite_api, aide, multiagent=own)
    for roster in (coordinator(aide["id"]), members(workflows=enabled(predefined_agents=[pinned(aide["id"], 2)]))):
        said = create(sqlite_api, roster).refused(400)
        assert (
            said
            == f"{INVALID}subagent {aide['id']} has a multiagent configuration of its own, and the depth limit is 1"
        )
    create(sqlite_api, coordinator(pinned(aide["id"], 1))).ok()


@pytest.mark.parametrize("name", ["self", "anthropic.advisor"])
def test_a_member_does_not_have_a_reserved_name(sqlite_api: Api, name: str) -> None:
    aide = sqlite_api.agent(name=name)["id"]
    said = create(sqlite_api, coordinator(aide)).refused(400)
    assert said == f'{INVALID}subagent {aide} has the reserved name "{name}"'


def test_members_have_names_of_their_own(sqlite_api: Api) -> None:
    one, two = sqlite_api.agent(name="Aide"), sqlite_api.agent(name="Aide")
    said = create(sqlite_api, coordinator(one["id"], two["id"])).refused(400)
    assert said == f'{INVALID}subagents {one["id"]} and {two["id"]} have the same name "Aide"'
    update(sqlite_api, two, name="Other")
    create(sqlite_api, coordinator(one["id"], two["id"])).ok()
    create(sqlite_api, coordinator(pinned(two["id"], 1), SELF)).ok()


# The newer form


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"advisor": DISABLED, "subagents": ON, "workflows": ON}),
        ({"advisor": None, "subagents": None, "workflows": None}, {"advisor": DISABLED, "subagents": ON, "workflows": ON}),
        ({"subagents": DISABLED, "workflows": enabled(inline_agents=None, predefined_agents=None)}, {"advisor": DISABLED, "subagents": DISABLED, "workflows": ON}),
        ({"advisor": enabled(model="sage"), "workflows": DISABLED}, {"advisor": enabled(model="sage"), "subagents": ON, "workflows": DISABLED}),
    ],
)  # fmt: skip
def test_every_member_is_shown(sqlite_api: Api, given: dict[str, Any], expected: dict[str, Any]) -> None:
    response = create(sqlite_api, members(**given))
    assert response.ok()["multiagent"] == members(**expected)
    BetaManagedAgentsAgent.model_validate_json(response.raw, strict=True)


def test_predefined_agents_are_pinned_and_may_be_in_both_lists(api: Api) -> None:
    aide = api.agent(name="Aide")
    given = members(
        subagents=enabled(inline_agents=DISABLED, predefined_agents=[aide["id"], SELF]),
        workflows=enabled(predefined_agents=[{"type": "agent", "id": aide["id"]}]),
    )
    lead = create(api, given).ok()
    shown = lead["multiagent"]
    assert shown["subagents"] == enabled(
        inline_agents=DISABLED, predefined_agents=[pinned(aide["id"]), pinned(lead["id"])]
    )
    assert shown["workflows"] == enabled(inline_agents={"type": "enabled"}, predefined_agents=[pinned(aide["id"])])
    renamed = update(api, lead, name="Chief")
    assert renamed["multiagent"]["subagents"]["predefined_agents"] == [pinned(aide["id"]), pinned(lead["id"], 2)]


def test_an_update_is_merged_level_by_level(sqlite_api: Api) -> None:
    aide = sqlite_api.agent(name="Aide")
    kept = [pinned(aide["id"])]
    lead = create(
        sqlite_api,
        members(
            advisor=enabled(model="sage"),
            subagents=enabled(inline_agents=DISABLED, predefined_agents=[aide["id"]]),
            workflows=DISABLED,
        ),
    ).ok()
    update(sqlite_api, aide, system="Second.")

    assert update(sqlite_api, lead, multiagent=members()) == lead
    shown = update(sqlite_api, lead, multiagent=members(subagents=enabled(inline_agents={"type": "enabled"})))[
        "multiagent"
    ]
    assert shown == members(
        advisor=enabled(model="sage"),
        subagents=enabled(inline_agents={"type": "enabled"}, predefined_agents=kept),
        workflows=DISABLED,
    )
    shown = update(sqlite_api, lead, multiagent=members(subagents=enabled(predefined_agents=[aide["id"]])))[
        "multiagent"
    ]
    assert shown["subagents"]["predefined_agents"] == [pinned(aide["id"], 2)]
    shown = update(sqlite_api, lead, multiagent=members(subagents=enabled(predefined_agents=None)))["multiagent"]
    assert shown["subagents"] == ON
    shown = update(sqlite_api, lead, multiagent=members(workflows=enabled(), subagents=DISABLED))["multiagent"]
    assert (shown["workflows"], shown["subagents"]) == (ON, DISABLED)
    shown = update(sqlite_api, lead, multiagent=members(advisor=None, subagents=None))["multiagent"]
    assert shown == members(advisor=DISABLED, subagents=ON, workflows=ON)


def test_rules_hold_for_the_merged_result(sqlite_api: Api) -> None:
    lead = create(sqlite_api, members(workflows=enabled(predefined_agents=[SELF]))).ok()
    path = f"/v1/agents/{lead['id']}"
    without = enabled(inline_agents=DISABLED)
    said = sqlite_api.post(path, {"multiagent": members(subagents=without)}).refused(400)
    assert said == (
        "agent.multiagent.multiagent_20261001.subagents.predefined_agents: "
        "must name at least one agent when inline_agents is disabled"
    )
    shown = sqlite_api.post(path, {"multiagent": members(workflows=without)}).ok()["multiagent"]
    assert shown["workflows"] == enabled(inline_agents=DISABLED, predefined_agents=[pinned(lead["id"], 2)])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"advisor": {"type": "enabled"}}, "multiagent.advisor.model: Field required"),
        ({"advisor": {"type": "disabled", "model": "m"}}, 'Failed to parse request body: unknown field "model"'),
        ({"subagents": {}}, "multiagent.subagents.type: Field required"),
        ({"agents": []}, 'Failed to parse request body: unknown field "agents"'),
        ({"workflows": enabled(predefined_agents=[ADVISOR])}, 'Failed to parse request: multiagent.workflows.predefined_agents[0].type: "advisor" is not a valid value'),
        ({"workflows": enabled(predefined_agents=["a"] * 21)}, "multiagent.workflows.predefined_agents: value must contain no more than 20 item(s)"),
        ({"subagents": enabled(predefined_agents=["agent_01none"])}, f"{INVALID}subagent agent_01none is not a valid agent ID"),
    ],
)  # fmt: skip
def test_the_newer_form_is_refused(sqlite_api: Api, given: dict[str, Any], message: str) -> None:
    assert create(sqlite_api, members(**given)).refused(400) == message
