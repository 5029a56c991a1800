"""Deployments, as the contract has them (deployments: object, create, update, schedule, state machine, list)."""

from pathlib import Path
from typing import Any

import pytest

from rota.base.clock import HandClock
from tests.api import HELLO, KEY, Api

KEYS = {
    "type", "id", "name", "description", "agent", "environment_id", "initial_events", "resources", "vault_ids", "metadata",
    "schedule", "status", "paused_reason", "created_at", "updated_at", "archived_at",
}  # fmt: skip
CRON = {"type": "cron", "expression": "0 9 * * *", "timezone": "America/New_York"}
BUDGET = {"type": "limit", "max_list_cost": {"amount": "500", "currency": "USD"}}
TOKEN = "ghp_canaryCANARYcanaryCANARYcanary1234"
REPOSITORY = {"type": "github_repository", "url": "https://github.com/acme/site", "authorization_token": TOKEN}


def path(deployment: dict[str, Any], verb: str = "") -> str:
    return f"/v1/deployments/{deployment['id']}" + (f"/{verb}" if verb else "")


def test_a_new_deployment_has_sixteen_keys_and_no_budget(api: Api) -> None:
    agent, environment = api.agent(), api.environment()
    deployment = api.deployment(agent=agent["id"], environment_id=environment["id"])
    assert set(deployment) == KEYS
    assert deployment["agent"] == {"type": "agent", "id": agent["id"], "version": 1}
    assert deployment["initial_events"] == HELLO
    assert (deployment["status"], deployment["paused_reason"], deployment["schedule"]) == ("active", None, None)
    assert (deployment["description"], deployment["metadata"], deployment["vault_ids"]) == (None, {}, [])
    assert deployment["created_at"] == deployment["updated_at"]
    assert api.get(path(deployment)).ok() == deployment


def test_what_was_sent_is_echoed_as_it_was_sent(sqlite_api: Api) -> None:
    events = [
        {"type": "user.message", "content": [
            {"type": "text", "text": "see"},
            {"type": "document", "source": {"type": "text", "data": "d", "media_type": "text/plain"}, "title": None},
            {"type": "image", "source": {"type": "url", "url": "https://x.example/y.png"}},
        ]},
        {"type": "user.define_outcome", "description": "done", "rubric": {"type": "file", "file_id": "file_1"}},
        {"type": "user.message", "content": [{"type": "text", "text": "go"}]},
        {"type": "system.message", "content": [{"type": "text", "text": "quietly"}]},
    ]  # fmt: skip
    resources = [
        {"type": "file", "file_id": "file_1"},
        {"type": "file", "file_id": "file_2", "mount_path": "data.csv"},
        {"type": "memory_store", "memory_store_id": "memstore_x", "access": "read_only", "instructions": "read"},
        {"type": "memory_store", "memory_store_id": "memstore_y"},
    ]
    deployment = sqlite_api.deployment(initial_events=events, resources=resources, budget=BUDGET, metadata={"a": ""})
    assert deployment["initial_events"] == events
    assert deployment["resources"] == resources
    assert deployment["budget"] == BUDGET
    assert deployment["metadata"] == {"a": ""}


def test_a_repositorys_token_is_never_shown_and_never_stored_in_the_clear(sqlite_api: Api, tmp_path: Path) -> None:
    deployment = sqlite_api.deployment(resources=[REPOSITORY])
    assert deployment["resources"] == [{"type": "github_repository", "url": "https://github.com/acme/site"}]
    run = sqlite_api.fire(deployment)
    session = sqlite_api.get(f"/v1/sessions/{run['session_id']}").ok()
    assert session["resources"][0]["mount_path"] == "/workspace/site"
    for file in tmp_path.iterdir():
        assert TOKEN.encode() not in file.read_bytes(), file.name


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"agent": "agent_none"}, 404, "Referenced agent not found or not accessible."),
        ({"environment_id": "env_none"}, 404, "Referenced environment not found or not accessible."),
        ({"vault_ids": ["vlt_none"]}, 404, "Referenced vault not found or not accessible."),
        ({"name": ""}, 400, "name: minimum string length is 1"),
        ({"name": "x" * 257}, 400, "name: maximum string length is 256"),
        ({"description": "x" * 2049}, 400, "description: maximum string length is 2048"),
        ({"initial_events": []}, 400, "initial_events: value must contain at least 1 item"),
        ({"initial_events": HELLO * 51}, 400, "initial_events: value must contain no more than 50 item(s)"),
        ({"initial_events": [{"type": "x"}]}, 400, 'initial_events[0].type: "x" is not a valid value'),
        ({"schedule": {**CRON, "type": "interval"}}, 400, 'schedule.type: "interval" is not a valid value'),
        ({"schedule": {"type": "cron", "expression": "* * * * *"}}, 400, "schedule.timezone: Field required"),
        ({"schedule": {**CRON, "timezone": "Mars/Phobos"}}, 400, '"Mars/Phobos" is not a valid IANA timezone'),
        (
            {"schedule": {**CRON, "expression": "0 0 1 * 1"}},
            400,
            "`schedule.expression` cannot restrict both day-of-month and day-of-week; use `*` for one",
        ),
        (
            {"schedule": {**CRON, "expression": "0 0 31 2 *"}},
            400,
            "`schedule.expression` does not produce any occurrences in the next year",
        ),
        ({"surprise": 1}, 400, "surprise: Extra inputs are not permitted"),
        ({"resources": [{"type": "github_repository"}]}, 400, "resources.0.url: Field required"),
        (
            {"resources": [{"type": "github_repository", "url": "https://gitlab.com/a/b"}]},
            400,
            "validate deployment resources: invalid GitHub repository URL: repo URL must be https://github.com/{owner}/{repo}",
        ),
        ({"metadata": {str(n): "" for n in range(17)}}, 400, None),
        ({"metadata": None}, 400, None),
        ({"budget": {"type": "limit", "max_list_cost": {"amount": "1.5", "currency": "USD"}}}, 400, None),
        ({"budget": {"type": "limit", "max_list_cost": {"amount": "100", "currency": "EUR"}}}, 400, None),
    ],
)
def test_what_a_deployment_refuses(sqlite_api: Api, fields: dict[str, Any], status: int, message: str | None) -> None:
    body = {
        "name": "n",
        "agent": sqlite_api.agent()["id"],
        "environment_id": sqlite_api.environment()["id"],
        "initial_events": HELLO,
        **fields,
    }
    said = sqlite_api.post("/v1/deployments", body).refused(
        status, "not_found_error" if status == 404 else "invalid_request_error"
    )
    assert message is None or said == message


def test_archived_references_are_refused_at_once(api: Api) -> None:
    agent, environment = api.agent(), api.environment()
    body = {"name": "n", "agent": agent["id"], "environment_id": environment["id"], "initial_events": HELLO}
    api.post(f"/v1/environments/{environment['id']}/archive").ok()
    said = api.post("/v1/deployments", body).refused(404, "not_found_error")
    assert said == "Referenced environment not found or not accessible."
    body["environment_id"] = api.environment()["id"]
    api.post(f"/v1/agents/{agent['id']}/archive").ok()
    assert api.post("/v1/deployments", body).refused(400) == "Cannot modify archived agent"


def test_a_budget_needs_a_model_with_a_list_price(sqlite_api: Api) -> None:
    body = {
        "name": "n",
        "agent": sqlite_api.agent(model="llama-at-home")["id"],
        "environment_id": sqlite_api.environment()["id"],
        "initial_events": HELLO,
        "budget": BUDGET,
    }
    response = sqlite_api.post("/v1/deployments", body)
    response.refused(400)
    assert response.body["error"]["details"] == {"error_code": "model_not_budgetable"}


@pytest.mark.parametrize(
    ("sent", "key", "shown"),
    [
        ({"name": "new"}, "name", "new"),
        ({"description": "d"}, "description", "d"),
        ({"description": None}, "description", None),
        ({"description": ""}, "description", None),
        ({"resources": None}, "resources", []),
        ({"resources": []}, "resources", []),
        ({"vault_ids": None}, "vault_ids", []),
        ({"metadata": {"a": None, "b": ""}}, "metadata", {"keep": "k", "b": ""}),
        ({"metadata": None}, "metadata", {"keep": "k", "a": "1"}),
        ({"schedule": None}, "schedule", None),
        ({"budget": None}, "budget", "absent"),
        ({"initial_events": [*HELLO, *HELLO]}, "initial_events", [*HELLO, *HELLO]),
    ],
)
def test_an_update_changes_what_was_sent_and_nothing_else(
    sqlite_api: Api, clock: HandClock, sent: dict[str, Any], key: str, shown: Any
) -> None:
    old = sqlite_api.deployment(
        description="old",
        metadata={"keep": "k", "a": "1"},
        resources=[{"type": "file", "file_id": "file_1"}],
        schedule=CRON,
        budget=BUDGET,
    )
    clock.advance(seconds=5)
    new = sqlite_api.post(path(old), sent).ok()
    assert new.get(key, "absent") == shown
    changed = {name for name in KEYS | {"budget"} if new.get(name) != old.get(name)}
    assert changed - {"updated_at"} <= {key}
    assert (new["updated_at"] != old["updated_at"]) == bool(changed - {"updated_at"})
    assert sqlite_api.get(path(old)).ok() == new


@pytest.mark.parametrize(
    "sent",
    [
        {"name": None},
        {"name": ""},
        {"agent": None},
        {"environment_id": None},
        {"initial_events": None},
        {"initial_events": []},
    ],
)
def test_an_update_cannot_clear_what_a_deployment_needs(sqlite_api: Api, sent: dict[str, Any]) -> None:
    deployment = sqlite_api.deployment()
    sqlite_api.post(path(deployment), sent).refused(400)
    assert sqlite_api.get(path(deployment)).ok() == deployment


def test_a_pin_stays_until_it_is_moved(api: Api) -> None:
    agent = api.agent()
    deployment = api.deployment(agent=agent["id"])
    api.post(f"/v1/agents/{agent['id']}", {"name": "Clerk the Second"}).ok()
    assert api.get(path(deployment)).ok()["agent"]["version"] == 1
    assert api.post(path(deployment), {"agent": agent["id"]}).ok()["agent"]["version"] == 2
    pinned = {"type": "agent", "id": agent["id"], "version": 1}
    assert api.post(path(deployment), {"agent": pinned}).ok()["agent"] == pinned
    said = api.post(path(deployment), {"agent": {**pinned, "version": 3}}).refused(404, "not_found_error")
    assert said == "Referenced agent not found or not accessible."


def test_pausing_and_unpausing_are_idempotent_and_move_updated_at_once(api: Api, clock: HandClock) -> None:
    deployment = api.deployment(schedule=CRON)
    clock.advance(seconds=1)
    paused = api.post(path(deployment, "pause")).ok()
    assert (paused["status"], paused["paused_reason"]) == ("paused", {"type": "manual"})
    assert paused["updated_at"] != deployment["updated_at"]
    assert paused["schedule"]["upcoming_runs_at"] == deployment["schedule"]["upcoming_runs_at"]
    clock.advance(seconds=1)
    assert api.post(path(deployment, "pause")).ok() == paused
    renamed = api.post(path(deployment), {"name": "still paused"}).ok()
    assert (renamed["status"], renamed["paused_reason"]) == ("paused", {"type": "manual"})
    active = api.post(path(deployment, "unpause")).ok()
    assert (active["status"], active["paused_reason"]) == ("active", None)
    clock.advance(seconds=1)
    assert api.post(path(deployment, "unpause")).ok() == active


def test_an_archived_deployment_reports_active_and_refuses_every_change(api: Api, clock: HandClock) -> None:
    deployment = api.deployment(schedule=CRON)
    api.post(path(deployment, "pause")).ok()
    clock.advance(seconds=1)
    archived = api.post(path(deployment, "archive")).ok()
    assert (archived["status"], archived["paused_reason"]) == ("active", None)
    assert archived["archived_at"] == archived["updated_at"]
    assert archived["schedule"]["upcoming_runs_at"] == []
    clock.advance(seconds=1)
    assert api.post(path(deployment, "archive")).ok() == archived
    for verb, body in (("", {"name": "x"}), ("pause", None), ("unpause", None), ("run", None)):
        assert api.post(path(deployment, verb), body).refused(400) == "Cannot modify archived deployment"
    assert api.get("/v1/deployment_runs").ok()["data"] == []


def test_archiving_an_agent_archives_its_deployments_at_the_same_instant_without_a_run(
    api: Api, clock: HandClock
) -> None:
    agent = api.agent()
    pinned = [api.deployment(agent=agent["id"]) for _ in range(3)]
    other = api.deployment()
    clock.advance(seconds=60)
    archived_at = api.post(f"/v1/agents/{agent['id']}/archive").ok()["archived_at"]
    assert [api.get(path(each)).ok()["archived_at"] for each in pinned] == [archived_at] * 3
    assert api.get(path(other)).ok()["archived_at"] is None
    assert api.get("/v1/deployment_runs").ok()["data"] == []


def test_upcoming_runs_are_exact_across_daylight_saving(sqlite_api: Api, clock: HandClock) -> None:
    clock.set(1_793_440_800_000_000)  # 2026-10-31 10:00 UTC, the day before New York falls back
    upcoming = sqlite_api.deployment(schedule={**CRON, "expression": "30 1 * * *"})["schedule"]["upcoming_runs_at"]
    assert upcoming[:3] == ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-02T06:30:00Z"]
    assert len(upcoming) == 5
    clock.set(1_772_967_600_000_000)  # 2026-03-08 11:00 UTC, after the gap
    yearly = sqlite_api.deployment(schedule={**CRON, "expression": "0 4 1 1 *", "timezone": "UTC"})
    assert [moment[:10] for moment in yearly["schedule"]["upcoming_runs_at"]] == [f"{2027 + n}-01-01" for n in range(5)]


def test_lists_filter_and_hide_what_is_archived(api: Api, clock: HandClock) -> None:
    agent = api.agent()
    first = api.deployment(agent=agent["id"])
    clock.advance(seconds=10)
    second = api.deployment()
    api.post(path(second, "pause")).ok()
    third = api.deployment()
    api.post(path(third, "archive")).ok()

    def names(**query: Any) -> list[str]:
        return [each["id"] for each in api.get("/v1/deployments", query=query).ok()["data"]]

    assert names() == [second["id"], first["id"]]
    assert names(include_archived="true") == [third["id"], second["id"], first["id"]]
    assert names(status="paused") == [second["id"]]
    assert names(status="active") == [first["id"]]
    assert names(agent_id=agent["id"]) == [first["id"]]
    assert names(agent_id="agent_none") == []
    assert names(**{"created_at[gte]": second["created_at"]}) == [second["id"]]
    assert names(**{"created_at[lte]": first["created_at"]}) == [first["id"]]
    for archived in ("true", "false"):
        said = api.get("/v1/deployments", query={"status": "active", "include_archived": archived}).refused(400)
        assert said == "include_archived: cannot be set together with status"


def test_the_number_of_schedules_is_bounded_for_an_organization(tmp_path: Path, clock: HandClock) -> None:
    with Api(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path, clock, max_scheduled_deployments=2) as api:
        first, _ = api.deployment(schedule=CRON), api.deployment(schedule=CRON)
        unscheduled = api.deployment()
        assert "2 deployments with a schedule" in api.post(path(unscheduled), {"schedule": CRON}).refused(400)
        api.post(path(first), {"schedule": {**CRON, "expression": "0 10 * * *"}}).ok()
        api.post(path(first, "archive")).ok()
        api.post(path(unscheduled), {"schedule": CRON}).ok()


def test_an_unknown_a_foreign_and_a_malformed_id_cannot_be_told_apart(api: Api) -> None:
    for verb in ("", "run", "pause"):
        for deployment_id in ("depl_011CZkZcDH3vPqd7xnEfwTai", "nonsense", "depl_%00", "a" * 500):
            method = api.get if not verb else api.post
            response = method(f"/v1/deployments/{deployment_id}" + (f"/{verb}" if verb else ""), key=KEY)
            assert response.refused(404, "not_found_error").endswith("not found.")
