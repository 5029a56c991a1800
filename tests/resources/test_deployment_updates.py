"""What an update of a deployment means, field by field (contract, deployments: update, validation, state machine)."""

from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.store.tx import Query
from tests.api import HELLO, Api

BUDGET = {"type": "limit", "max_list_cost": {"amount": "500", "currency": "USD"}}
CRON = {"type": "cron", "expression": "0 9 * * *", "timezone": "UTC"}
TOKEN = "github-canary-0123456789abcdef"
NEW_TOKEN = "github-canary-fedcba9876543210"
SITE = {"type": "github_repository", "url": "https://github.com/acme/site"}
DOCS = {"type": "github_repository", "url": "https://github.com/acme/docs"}
PAUSE_BY_ERROR = Query(
    "What a scheduled fire that failed would leave.",
    "UPDATE deployments SET status = 'paused', paused_error = 'vault_archived_error' WHERE id = :id",
)
TOKENS = Query(
    "Sealed tokens.", "SELECT position, sealed FROM deployment_tokens WHERE deployment_id = :id ORDER BY position"
)


def path(deployment: dict[str, Any], verb: str = "") -> str:
    return f"/v1/deployments/{deployment['id']}" + (f"/{verb}" if verb else "")


def tokens(api: Api, deployment: dict[str, Any]) -> list[int]:
    """The places of the resources whose tokens are kept."""
    return [row[0] for row in api.read(lambda tx: tx.all(TOKENS, id=deployment["id"]))]


def canaries(folder: Path) -> list[str]:
    """The files that hold a token in the clear."""
    found = []
    for file in folder.iterdir():
        kept = file.read_bytes() if file.is_file() else b""
        found += [file.name for token in (TOKEN, NEW_TOKEN) if token.encode() in kept]
    return found


def everything(api: Api) -> dict[str, Any]:
    return api.deployment(
        description="old",
        metadata={"a": "1"},
        resources=[{**SITE, "authorization_token": TOKEN}, {"type": "file", "file_id": "file_01x"}],
        schedule=CRON,
        budget=BUDGET,
    )


# Field by field


@pytest.mark.parametrize(
    "sent",
    [
        {}, {"name": "Nightly"}, {"description": "old"}, {"metadata": {}}, {"metadata": None}, {"metadata": {"a": "1"}}, {"metadata": {"zz": None}},
        {"schedule": CRON}, {"budget": BUDGET}, {"vault_ids": []}, {"vault_ids": None}, {"initial_events": HELLO},
    ],
)  # fmt: skip
def test_an_update_that_changes_nothing_moves_nothing(sqlite_api: Api, clock: HandClock, sent: dict[str, Any]) -> None:
    old = everything(sqlite_api)
    clock.advance(seconds=60)
    new = sqlite_api.post(path(old), sent).ok()
    assert {**new, "schedule": None} == {**old, "schedule": None}
    assert tokens(sqlite_api, old) == [0]


@pytest.mark.parametrize(
    "sent",
    [
        {"name": None}, {"name": ""}, {"name": "n" * 257}, {"description": "d" * 2049}, {"agent": None}, {"agent": ""}, {"agent": {"type": "agent"}}, {"agent": {"id": "agent_01x"}},
        {"agent": {"type": "agent_with_overrides", "id": "agent_01x"}}, {"agent": {"type": "agent", "id": "agent_01x", "version": 0}},
        {"agent": {"type": "agent", "id": "agent_01x", "version": 2**31}}, {"environment_id": None}, {"environment_id": ""},
        {"initial_events": None}, {"initial_events": []}, {"initial_events": HELLO * 51},
        {"initial_events": [{"type": "system.message", "content": [{"type": "text", "text": "Alone."}]}]},
        {"metadata": {f"k{number}": "v" for number in range(16)}}, {"metadata": {"": "v"}}, {"metadata": {"k": 1}},
        {"vault_ids": ["v"] * 51}, {"resources": [SITE] * 501}, {"budget": {}}, {"budget": "500"}, {"surprise": None}, {"status": "paused"},
        {"archived_at": None}, {"id": "depl_01x"}, {"version": 1},
    ],
)  # fmt: skip
def test_an_update_is_refused_whole(still_api: Api, sent: dict[str, Any]) -> None:
    old = everything(still_api)
    still_api.post(path(old), {"name": "changed", **sent} if "name" not in sent else sent).refused(400)
    assert still_api.get(path(old)).ok() == old
    assert tokens(still_api, old) == [0]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"agent": "agent_01nothing"}, "Referenced agent not found or not accessible."),
        ({"agent": {"type": "agent", "id": "agent_01nothing"}}, "Referenced agent not found or not accessible."),
        ({"environment_id": "env_01nothing"}, "Referenced environment not found or not accessible."),
        ({"environment_id": "malformed"}, "Referenced environment not found or not accessible."),
        ({"vault_ids": ["vlt_01nothing"]}, "Referenced vault not found or not accessible."),
    ],
)
def test_what_is_named_must_be_there(still_api: Api, sent: dict[str, Any], message: str) -> None:
    old = everything(still_api)
    assert still_api.post(path(old), sent).refused(404, "not_found_error") == message
    body = {key: old[key] for key in ("name", "agent", "environment_id", "initial_events")}
    assert still_api.post("/v1/deployments", {**body, **sent}).refused(404, "not_found_error") == message
    assert still_api.get(path(old)).ok() == old


def test_stores_and_files_are_not_looked_for(still_api: Api) -> None:
    resources = [
        {"type": "memory_store", "memory_store_id": "memstore_01nothing"},
        {"type": "file", "file_id": "malformed"},
    ]
    deployment = still_api.deployment(resources=resources)
    assert (deployment["status"], deployment["resources"]) == ("active", resources)
    same = [{"type": "file", "file_id": "file_01x"}] * 2 + [
        {"type": "memory_store", "memory_store_id": "memstore_01x"}
    ] * 9
    assert still_api.post(path(deployment), {"resources": same}).ok()["resources"] == same


def test_what_is_archived_meanwhile_stays_until_it_is_sent_again(api: Api) -> None:
    deployment = api.deployment()
    api.post(f"/v1/environments/{deployment['environment_id']}/archive").ok()
    assert api.post(path(deployment), {"name": "renamed"}).ok()["name"] == "renamed"
    again = {"environment_id": deployment["environment_id"]}
    assert api.post(path(deployment), again).refused(404, "not_found_error").startswith("Referenced environment")
    other = api.agent()["id"]
    api.post(f"/v1/agents/{other}/archive").ok()
    assert api.post(path(deployment), {"agent": other}).refused(400) == "Cannot modify archived agent"
    fresh = api.environment()["id"]
    assert api.post(path(deployment), {"environment_id": fresh}).ok()["environment_id"] == fresh
    assert api.fire(deployment)["error"] is None


def test_an_agent_is_pinned_by_id_by_object_and_by_version(still_api: Api) -> None:
    agent = still_api.agent()["id"]
    for number in range(2, 4):
        still_api.post(f"/v1/agents/{agent}", {"name": f"Clerk {number}"}).ok()
    deployment = still_api.deployment(agent={"type": "agent", "id": agent, "version": 2})
    for sent, version in (
        (agent, 3), ({"type": "agent", "id": agent, "version": 1}, 1), ({"type": "agent", "id": agent}, 3),
        ({"type": "agent", "id": agent, "version": 2}, 2), ({"type": "agent", "id": agent, "version": None}, 3),
    ):  # fmt: skip
        assert still_api.post(path(deployment), {"agent": sent}).ok()["agent"] == {
            "type": "agent",
            "id": agent,
            "version": version,
        }
    other = still_api.agent()["id"]
    assert still_api.post(path(deployment), {"agent": other}).ok()["agent"] == {
        "type": "agent",
        "id": other,
        "version": 1,
    }


def test_metadata_is_patched_and_the_limit_holds_for_the_result(still_api: Api) -> None:
    deployment = still_api.deployment(metadata={f"k{number}": "v" for number in range(16)})
    said = still_api.post(path(deployment), {"metadata": {"one": "more"}}).refused(400)
    assert said == "invalid metadata: metadata map would have 17 entries, exceeding the maximum of 16"
    patched = still_api.post(path(deployment), {"metadata": {"one": "", "k0": None}}).ok()["metadata"]
    assert len(patched) == 16
    assert patched["one"] == ""
    long = still_api.deployment(metadata={"ü" * 64: "ü" * 512})
    assert long["metadata"] == {"ü" * 64: "ü" * 512}


def test_a_budget_is_checked_against_the_model_whenever_either_is_sent(still_api: Api) -> None:
    homely = still_api.agent(model="llama-at-home")["id"]
    deployment = still_api.deployment(budget=BUDGET)
    assert "llama-at-home" in still_api.post(path(deployment), {"agent": homely}).refused(400)
    moved = still_api.post(path(deployment), {"agent": homely, "budget": None}).ok()
    assert "budget" not in moved
    assert "llama-at-home" in still_api.post(path(deployment), {"budget": BUDGET}).refused(400)
    back = still_api.post(path(deployment), {"agent": deployment["agent"]["id"], "budget": BUDGET}).ok()
    assert back["budget"] == BUDGET


# Tokens


def test_a_list_of_resources_replaces_the_old_one_with_its_tokens(sqlite_api: Api, tmp_path: Path) -> None:
    deployment = sqlite_api.deployment(resources=[{**SITE, "authorization_token": TOKEN}])
    assert deployment["resources"] == [SITE]
    assert tokens(sqlite_api, deployment) == [0]
    two = [DOCS, {**SITE, "authorization_token": NEW_TOKEN}]
    assert sqlite_api.post(path(deployment), {"resources": two}).ok()["resources"] == [DOCS, SITE]
    assert tokens(sqlite_api, deployment) == [1]
    assert sqlite_api.post(path(deployment), {"name": "kept"}).ok()["resources"] == [DOCS, SITE]
    assert tokens(sqlite_api, deployment) == [1]
    session = sqlite_api.fire(deployment)["session_id"]
    assert sqlite_api.post(path(deployment), {"resources": [DOCS, SITE]}).ok()["resources"] == [DOCS, SITE]
    assert tokens(sqlite_api, deployment) == []  # tokens must be sent again
    sqlite_api.post(path(deployment), {"resources": None}).ok()
    text = sqlite_api.get(f"/v1/sessions/{session}").raw + sqlite_api.get("/v1/deployments").raw
    assert TOKEN.encode() not in text
    assert NEW_TOKEN.encode() not in text
    assert canaries(tmp_path) == []


def test_a_new_token_for_the_same_repository_is_a_change(sqlite_api: Api, clock: HandClock) -> None:
    deployment = sqlite_api.deployment(resources=[{**SITE, "authorization_token": TOKEN}])
    before = sqlite_api.read(lambda tx: tx.all(TOKENS, id=deployment["id"]))
    clock.advance(seconds=1)
    new = sqlite_api.post(path(deployment), {"resources": [{**SITE, "authorization_token": NEW_TOKEN}]}).ok()
    assert new["updated_at"] != deployment["updated_at"]
    assert sqlite_api.read(lambda tx: tx.all(TOKENS, id=deployment["id"])) != before


def test_a_refused_update_leaves_the_tokens_alone(still_api: Api) -> None:
    deployment = still_api.deployment(resources=[{**SITE, "authorization_token": TOKEN}])
    still_api.post(path(deployment), {"resources": None, "agent": "agent_01nothing"}).refused(404, "not_found_error")
    assert tokens(still_api, deployment) == [0]


# States


def test_a_deployment_that_an_error_paused_says_which_and_is_mended_by_hand(api: Api, clock: HandClock) -> None:
    deployment = api.deployment(schedule=CRON)
    api.write(lambda tx: tx.run(PAUSE_BY_ERROR, id=deployment["id"]))
    paused = api.get(path(deployment)).ok()
    assert (paused["status"], paused["paused_reason"]) == (
        "paused",
        {"type": "error", "error": {"type": "vault_archived_error"}},
    )
    assert [each["id"] for each in api.get("/v1/deployments?status=paused").ok()["data"]] == [deployment["id"]]
    renamed = api.post(path(deployment), {"name": "renamed"}).ok()
    assert renamed["paused_reason"] == paused["paused_reason"]
    clock.advance(seconds=1)
    by_hand = api.post(path(deployment, "pause")).ok()
    assert by_hand["paused_reason"] == {"type": "manual"}
    assert by_hand["updated_at"] == "2026-03-02T12:00:01Z"
    api.write(lambda tx: tx.run(PAUSE_BY_ERROR, id=deployment["id"]))
    active = api.post(path(deployment, "unpause")).ok()
    assert (active["status"], active["paused_reason"]) == ("active", None)
    api.write(lambda tx: tx.run(PAUSE_BY_ERROR, id=deployment["id"]))
    archived = api.post(path(deployment, "archive")).ok()
    assert (archived["status"], archived["paused_reason"]) == ("active", None)


def test_updates_and_state_changes_at_once_all_take_effect(api: Api) -> None:
    deployment = api.deployment()
    calls = [api.call("POST", path(deployment), {"metadata": {f"k{number}": "v"}}) for number in range(10)]
    calls += [api.call("POST", path(deployment, "pause")), api.call("POST", path(deployment), {"description": "d"})]
    assert {answer.status for answer in api.gather(calls)} == {200}
    found = api.get(path(deployment)).ok()
    assert set(found["metadata"]) == {f"k{number}" for number in range(10)}
    assert (found["status"], found["description"]) == ("paused", "d")


def test_no_deployment_outlives_its_agent_however_they_meet(api: Api) -> None:
    environment = api.environment()["id"]
    for _ in range(3):
        agent = api.agent()["id"]
        body = {"name": "n", "agent": agent, "environment_id": environment, "initial_events": HELLO}
        creates = [api.call("POST", "/v1/deployments", body) for _ in range(6)]
        archive, *made = api.gather([api.call("POST", f"/v1/agents/{agent}/archive"), *creates])
        archived_at = archive.ok()["archived_at"]
        for answer in made:
            if answer.status == 200:
                assert api.get(path(answer.body)).ok()["archived_at"] == archived_at
            else:
                assert answer.refused(400) == "Cannot modify archived agent"
        assert api.get("/v1/deployments", query={"agent_id": agent}).ok()["data"] == []
    assert api.get("/v1/deployment_runs").ok()["data"] == []


def test_there_is_no_way_to_delete_a_deployment_or_a_run(still_api: Api) -> None:
    deployment = still_api.deployment()
    run = still_api.fire(deployment)
    for thing in (path(deployment), f"/v1/deployment_runs/{run['id']}"):
        assert still_api.delete(thing).status in (404, 405)
        still_api.get(thing).ok()
