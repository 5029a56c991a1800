"""Why a session cannot be: each reason alone, and of every two the one that the contract ranks first."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import msgspec
import pytest

from rota.base.key_file import LazySealer
from rota.base.policy import Policy
from rota.resources.agents.skills import AgentSkill
from rota.resources.agents.versions import Facts as AgentFacts
from rota.resources.agents.versions import Traits
from rota.resources.deployments.failures import to_run_error
from rota.resources.environments.actions import Facts as EnvironmentFacts
from rota.resources.environments.wire import Cloud, Limited, SelfHosted
from rota.resources.files.actions import Facts as FileFacts
from rota.resources.memory_stores.actions import Facts as StoreFacts
from rota.resources.sessions import refusals
from rota.resources.sessions.drafts import Draft, decide_all, refuse
from rota.resources.sessions.mounts import FileParam, MemoryStoreParam, RepositoryParam, look_through
from rota.resources.sessions.reasons import References, Wish, reasons
from rota.resources.sessions.survey import survey
from rota.resources.sessions.wire import Budget, Money
from rota.resources.skills.actions import Facts as SkillFacts
from rota.resources.vaults.actions import Facts as VaultFacts
from rota.resources.workspaces.actions import State

ORGANIZATION, WORKSPACE, ENVIRONMENT = "organization", "wrkspc_1", "env_1"
HEAD, MEMBER = ("agent_head", 3), ("agent_member", 1)
NOW = 1_772_452_800_000_000
POLICY = Policy(LazySealer(None, None), sessions_per_minute=5)  # type: ignore[arg-type]
SITE = RepositoryParam(url="https://github.com/acme/site")
LIMIT = Budget(type="limit", max_list_cost=Money(amount="500", currency="USD"))

# A scene is what departs from a wish against which nothing stands. Lists of two scenes are joined.
Scene = Mapping[str, Any]


def joined(*scenes: Scene) -> dict[str, Any]:
    """All that departs in any of the scenes."""
    merged: dict[str, Any] = {}
    for scene in scenes:
        for name, value in scene.items():
            merged[name] = merged[name] + value if isinstance(value, list) and name in merged else value
    return merged


def stage(scene: Scene) -> tuple[Wish, References]:
    """The wish and what it refers to, as a scene has them."""
    servers = [("docs", "https://mcp.example.com/sse")]
    traits = Traits(
        name="Head",
        model_id="claude-opus-5-5",
        mcp_servers=scene.get("servers", servers),
        skills=scene.get("skills", []),
        members=[MEMBER],
        advisor_models=scene.get("advisors", ()),
        has_multiagent=True,
        has_usable_read_tool=scene.get("can_read", True),
    )
    member = Traits(
        name="Member",
        model_id=scene.get("member_model", "claude-haiku-4-5"),
        mcp_servers=(),
        skills=scene.get("member_skills", ()),
        members=(),
        advisor_models=(),
        has_multiagent=False,
        has_usable_read_tool=False,
    )
    environment = EnvironmentFacts(
        ENVIRONMENT,
        scene.get("environment_workspace", WORKSPACE),
        scene.get("environment_archived", False),
        scene.get("config", Cloud()),
    )
    wish = Wish(
        organization_id=ORGANIZATION,
        workspace_id=WORKSPACE,
        agent_id=HEAD[0],
        agent_version=HEAD[1],
        environment_id=ENVIRONMENT,
        resources=look_through(scene.get("resources", [])),
        vault_ids=scene.get("vaults", []),
        budget=scene.get("budget"),
    )
    found = References(
        states={WORKSPACE: State(ORGANIZATION, scene.get("workspace_archived", False), scene.get("disabled", False))},
        agent_facts={
            HEAD[0]: AgentFacts(HEAD[0], WORKSPACE, scene.get("head_archived", False), HEAD[1]),
            MEMBER[0]: AgentFacts(MEMBER[0], WORKSPACE, scene.get("member_archived", False), MEMBER[1]),
        },
        traits={HEAD: traits, MEMBER: member},
        environment_facts={} if scene.get("environment_missing") else {ENVIRONMENT: environment},
        vault_facts={
            "vlt_live": VaultFacts("vlt_live", WORKSPACE, False),
            "vlt_archived": VaultFacts("vlt_archived", WORKSPACE, True),
            "vlt_foreign": VaultFacts("vlt_foreign", "wrkspc_2", False),
        },
        file_facts={
            "file_there": FileFacts("file_there", WORKSPACE, "blob", "{}"),
            "file_foreign": FileFacts("file_foreign", "wrkspc_2", "blob", "{}"),
        },
        store_facts={
            "memstore_live": StoreFacts("memstore_live", WORKSPACE, False, "Notes", "of the day"),
            "memstore_archived": StoreFacts("memstore_archived", WORKSPACE, True, "Old notes", ""),
            "memstore_foreign": StoreFacts("memstore_foreign", "wrkspc_2", False, "Notes", ""),
        },
        skill_facts={
            "skill_there": SkillFacts("skill_there", WORKSPACE, "skver_2", frozenset({"skver_1"})),
            "skill_empty": SkillFacts("skill_empty", WORKSPACE, None, frozenset()),
            "skill_foreign": SkillFacts("skill_foreign", "wrkspc_2", "skver_9", frozenset()),
        },
        granted=scene.get("granted"),
        retry_after=7,
    )
    return wish, found


RANKED: list[tuple[str, Scene, type]] = [
    ("organization_disabled_error", {"disabled": True}, refusals.OrganizationDisabled),
    ("workspace_archived_error", {"workspace_archived": True}, refusals.WorkspaceArchived),
    ("agent_archived_error", {"member_archived": True}, refusals.AgentArchived),
    ("environment_not_found_error", {"environment_missing": True}, refusals.EnvironmentNotFound),
    ("environment_archived_error", {"environment_archived": True}, refusals.EnvironmentArchived),
    (
        "self_hosted_resources_unsupported_error",
        {"config": SelfHosted(), "resources": [SITE]},
        refusals.SelfHostedResourcesUnsupported,
    ),
    ("vault_not_found_error", {"vaults": ["vlt_gone"]}, refusals.VaultNotFound),
    ("vault_archived_error", {"vaults": ["vlt_archived"]}, refusals.VaultArchived),
    ("file_not_found_error", {"resources": [FileParam(file_id="file_gone")]}, refusals.FileNotFound),
    (
        "memory_store_archived_error",
        {"resources": [MemoryStoreParam(memory_store_id="memstore_archived")]},
        refusals.MemoryStoreArchived,
    ),
    (
        "session_resource_not_found_error",
        {"resources": [MemoryStoreParam(memory_store_id="memstore_gone")]},
        refusals.MemoryStoreNotFound,
    ),
    ("skill_not_found_error", {"skills": [AgentSkill("custom", "skill_gone")]}, refusals.SkillNotFound),
    ("mcp_egress_blocked_error", {"config": Cloud(networking=Limited())}, refusals.McpEgressBlocked),
    ("session_creation_rejected_error", {"resources": [SITE, SITE]}, refusals.CreationRejected),
]
"""The documented order. Only the session-create limiter comes before all of these."""

OTHER_REJECTIONS: dict[str, Scene] = {
    "skills without a read tool": {
        "skills": [AgentSkill(type="anthropic", skill_id="pdf", version="latest")],
        "can_read": False,
    },
    "a member without a list price under a budget": {"member_model": "somebodys-model", "budget": LIMIT},
    "an advisor without a list price under a budget": {"advisors": ["somebodys-model"], "budget": LIMIT},
    "a memory store twice": {"resources": [MemoryStoreParam(memory_store_id="memstore_live")] * 2},
    "a mount inside another": {
        "resources": [SITE, RepositoryParam(url="https://github.com/a/b", mount_path="/workspace/site/b")]
    },
    "a mount that leads out": {
        "resources": [RepositoryParam(url="https://github.com/a/b", mount_path="/workspace/../b")]
    },
}


def test_nothing_stands_against_a_good_wish() -> None:
    wish, found = stage({"vaults": ["vlt_live"], "resources": [SITE]})
    assert refuse(wish, found, POLICY) is None
    [decided] = decide_all([wish], found, POLICY, NOW)
    assert isinstance(decided, Draft)


@pytest.mark.parametrize(("kind", "scene", "expected"), RANKED, ids=[kind for kind, _, _ in RANKED])
def test_each_reason_is_found_and_becomes_its_run_error(kind: str, scene: Scene, expected: type) -> None:
    wish, found = stage(scene)
    refusal = refuse(wish, found, POLICY)
    assert type(refusal) is expected
    assert refusal is not None
    error = to_run_error(refusal)  # type: ignore[arg-type]
    assert error.type == kind
    assert len(error.message) > 10


PAIRS = [pair for pair in combinations(RANKED, 2) if not all("config" in scene for _, scene, _ in pair)]
"""All but one: a self-hosted environment has no networking that could block a server."""


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=lambda reason: reason[0])
def test_of_two_reasons_the_one_that_ranks_first_is_given(
    first: tuple[str, Scene, type], second: tuple[str, Scene, type]
) -> None:
    for scenes in ((first[1], second[1]), (second[1], first[1])):
        wish, found = stage(joined(*scenes))
        assert type(refuse(wish, found, POLICY)) is first[2]


@pytest.mark.parametrize("scene", OTHER_REJECTIONS.values(), ids=OTHER_REJECTIONS.keys())
def test_whatever_else_the_caller_can_mend_is_a_rejection(scene: Scene) -> None:
    wish, found = stage(scene)
    refusal = refuse(wish, found, POLICY)
    assert isinstance(refusal, refusals.CreationRejected)
    assert to_run_error(refusal).message == refusal.message


def test_whoever_wants_to_know_all_reasons_gets_them_all_in_order() -> None:
    for config in (SelfHosted(), Cloud(networking=Limited())):
        scenes = [scene for _, scene, _ in RANKED if scene.get("config", config) == config]
        classes = [expected for _, scene, expected in RANKED if scene.get("config", config) == config]
        if "environment_missing" in joined(
            *scenes
        ):  # what is not there has no state and lets nobody through or stay out
            scenes.remove({"environment_missing": True})
            classes.remove(refusals.EnvironmentNotFound)
        wish, found = stage(joined(*scenes))
        seen = [type(refusal) for refusal in reasons(wish, found, POLICY)]
        assert list(dict.fromkeys(seen)) == classes


def test_each_thing_that_is_broken_is_a_reason_of_its_own() -> None:
    stores = ["memstore_gone", "memstore_archived", "memstore_live", "memstore_foreign"]
    scene = {
        "vaults": ["vlt_gone", "vlt_archived", "vlt_live", "vlt_foreign"],
        "resources": [
            *(FileParam(file_id=file_id) for file_id in ("file_gone", "file_there", "file_foreign")),
            *(MemoryStoreParam(memory_store_id=store_id) for store_id in stores),
        ],
    }
    said = [refusal.message for refusal in reasons(*stage(scene), POLICY)]
    assert said == [
        "Vault `vlt_gone` not found.",
        "Vault `vlt_foreign` not found.",
        "Vault `vlt_archived` is archived.",
        "One or more files not found. Check that each `file_id` exists and is accessible: file_gone, file_foreign",
        "Memory store memstore_archived is archived.",
        "Memory store `memstore_gone` not found.",
        "Memory store `memstore_foreign` not found.",
    ]


@pytest.mark.parametrize("config", [SelfHosted(), Cloud(networking=Limited())])
def test_a_survey_shows_each_reason_at_the_thing_that_it_is_about(config: Any) -> None:
    scene = joined(*(scene for _, scene, _ in RANKED if scene.get("config", config) == config))
    scene |= {"environment_missing": False, "granted": {ORGANIZATION: 0}}
    scene["resources"] = [*scene["resources"], FileParam(file_id="file_gone", mount_path="/twice")]
    wish, found = stage(scene)
    sights = survey(wish, found, POLICY)
    told = {refusal.message for refusal in reasons(wish, found, POLICY)}
    shown = {sight.refusal.message for sight in sights if sight.refusal is not None}
    assert shown == told | {refusals.SessionRateLimited(5, 7).message}
    places = [(sight.what, sight.id, sight.found) for sight in sights]
    assert len(places) == len(set(places)), "nothing twice"
    assert ("file", "file_gone", "not found") in places
    whole = {sight.what for sight in sights if sight.refusal is None}
    assert "agent" in whole


@pytest.mark.parametrize(
    ("skill", "named"),
    [
        (AgentSkill("custom", "skill_there"), None),
        (AgentSkill("custom", "skill_there", "skver_1"), None),
        (AgentSkill("custom", "skill_there", "skver_9"), "`skill_there` version `skver_9`"),
        (AgentSkill("custom", "skill_empty"), "`skill_empty` version `latest`"),
        (AgentSkill("custom", "skill_gone"), "`skill_gone`"),
        (AgentSkill("custom", "skill_gone", "skver_1"), "`skill_gone` version `skver_1`"),
        (AgentSkill("custom", "skill_foreign"), "`skill_foreign`"),
        (AgentSkill("anthropic", "pdf"), None),
        (AgentSkill("anthropic", "pdf", "20260101"), None),
    ],
)
@pytest.mark.parametrize("whose", ["skills", "member_skills"])
def test_a_skill_of_the_agent_or_of_its_roster_must_be_there(whose: str, skill: AgentSkill, named: str | None) -> None:
    refusal = refuse(*stage({whose: [skill]}), POLICY)
    if named is None:
        assert refusal is None
    else:
        assert isinstance(refusal, refusals.SkillNotFound)
        assert to_run_error(refusal).message == f"skill {named} not found"


def test_a_draft_holds_what_the_session_is_to_be_given() -> None:
    given = [
        MemoryStoreParam(memory_store_id="memstore_live", access=None, instructions=None),
        FileParam(file_id="file_there", mount_path="/b"),
        SITE,
        FileParam(file_id="file_there"),
    ]
    [made] = decide_all([stage({"resources": given})[0]], stage({})[1], POLICY, NOW)
    assert isinstance(made, Draft)
    assert [(file.id, place) for file, place in made.copies] == [
        ("file_there", "/mnt/session/uploads/b"),
        ("file_there", "/mnt/session/uploads/file_there"),
    ]
    assert list(made.memory_store_ids) == ["memstore_live"]
    store, first, site, second = made.resources
    assert (first, second) == (None, None)
    assert msgspec.to_builtins(store) == {
        "type": "memory_store",
        "memory_store_id": "memstore_live",
        "name": "Notes",
        "description": "of the day",
        "access": "read_write",
        "mount_path": "/mnt/memory/notes",
    }
    assert msgspec.to_builtins(site)["mount_path"] == "/workspace/site"


def test_all_reasons_together_come_to_the_first_and_one_by_one_to_the_next() -> None:
    remaining = [reason for reason in RANKED if reason[1].get("config") != SelfHosted()]
    while remaining:
        wish, found = stage(joined(*(scene for _, scene, _ in remaining)))
        assert type(refuse(wish, found, POLICY)) is remaining[0][2]
        remaining.pop(0)


def test_the_limiter_comes_before_them_all() -> None:
    everything = joined(*(scene for _, scene, _ in RANKED), {"granted": {ORGANIZATION: 0}})
    wish, found = stage(everything)
    [refusal] = decide_all([wish], found, POLICY, NOW)
    assert isinstance(refusal, refusals.SessionRateLimited)
    assert refusal.headers == {"retry-after": "7"}
    assert to_run_error(refusal).type == "session_rate_limited_error"


def test_of_many_wishes_the_first_get_what_the_limiter_grants() -> None:
    wish, found = stage({"granted": {ORGANIZATION: 2}})
    kinds = [type(each) for each in decide_all([wish] * 4, found, POLICY, NOW)]
    assert kinds == [Draft, Draft, refusals.SessionRateLimited, refusals.SessionRateLimited]


def test_the_top_agent_is_asked_before_its_members() -> None:
    wish, found = stage({"head_archived": True, "member_archived": True})
    refusal = refuse(wish, found, POLICY)
    assert isinstance(refusal, refusals.AgentArchived)
    assert refusal.agent_id == HEAD[0]


def test_another_workspaces_environment_is_one_that_is_not_there() -> None:
    wish, found = stage({"environment_workspace": "wrkspc_2"})
    assert isinstance(refuse(wish, found, POLICY), refusals.EnvironmentNotFound)


def test_a_workspace_that_is_gone_is_an_archived_one() -> None:
    wish, found = stage({})
    assert isinstance(refuse(wish, msgspec.structs.replace(found, states={}), POLICY), refusals.WorkspaceArchived)


@pytest.mark.parametrize(
    ("networking", "blocked"),
    [
        (Limited(), True),
        (Limited(allow_mcp_servers=True), False),
        (Limited(allowed_hosts=["mcp.example.com"]), False),
        (Limited(allowed_hosts=["MCP.Example.com"]), False),
        (Limited(allowed_hosts=["*.example.com"]), False),
        (Limited(allowed_hosts=["*.mcp.example.com"]), True),
        (Limited(allowed_hosts=["example.com", "*.ample.com"]), True),
        (Limited(allow_package_managers=True), True),
    ],
)
def test_an_mcp_server_is_reached_by_its_host(networking: Limited, blocked: bool) -> None:
    wish, found = stage({"config": Cloud(networking=networking)})
    assert isinstance(refuse(wish, found, POLICY), refusals.McpEgressBlocked) == blocked


def test_every_blocked_server_is_named() -> None:
    servers = [
        ("one", "https://one.example.com"),
        ("two", "https://two.example.com:8443/x"),
        ("in", "https://in.example.com"),
    ]
    networking = Limited(allowed_hosts=["in.example.com"])
    wish, found = stage({"config": Cloud(networking=networking), "servers": servers})
    refusal = refuse(wish, found, POLICY)
    assert isinstance(refusal, refusals.McpEgressBlocked)
    assert refusal.message == (
        'MCP server host(s) blocked by environment network policy: "one" (one.example.com), "two" (two.example.com). '
        "Add these hosts to the environment's allowed_hosts, or set allow_mcp_servers=true."
    )


def test_a_self_hosted_environment_takes_memory_stores_but_neither_files_nor_repositories() -> None:
    store = MemoryStoreParam(memory_store_id="memstore_live")
    wish, found = stage({"config": SelfHosted(), "resources": [store]})
    assert refuse(wish, found, POLICY) is None
    wish, found = stage({"config": SelfHosted(), "resources": [store, FileParam(file_id="file_there"), SITE]})
    refusal = refuse(wish, found, POLICY)
    assert isinstance(refusal, refusals.SelfHostedResourcesUnsupported)
    assert refusal.kinds == ["file", "github_repository"]
