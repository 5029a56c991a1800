"""Scheduled fires as clients see them: what fires when, what is recorded, what pauses (contract, schedules)."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.resources.deployments import due
from rota.store.tx import Query
from tests.api import Api

EVERY_MINUTE = {"type": "cron", "expression": "* * * * *", "timezone": "UTC"}
HOURLY = EVERY_MINUTE | {"expression": "0 * * * *"}
ANNOUNCED = Query("What was announced.", "SELECT event, resource_id FROM outbox ORDER BY id")


def path(deployment: dict[str, Any], verb: str = "") -> str:
    return f"/v1/deployments/{deployment['id']}" + (f"/{verb}" if verb else "")


def times(api: Api, deployment: dict[str, Any]) -> list[str]:
    """The occurrences that have a run, oldest first."""
    return [run["trigger_context"]["scheduled_at"] for run in reversed(api.runs(deployment, trigger_type="schedule"))]


def announced(api: Api, *events: str) -> list[tuple[str, str]]:
    return [(event, of) for event, of in api.read(lambda tx: tx.all(ANNOUNCED)) if event.startswith(events)]


# When


def test_a_schedule_fires_at_its_instant_and_not_before(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.tick(seconds=59.999999)
    assert times(api, deployment) == []
    api.tick(seconds=0.000001)
    assert times(api, deployment) == ["2026-03-02T12:01:00Z"]
    api.tick()
    assert times(api, deployment) == ["2026-03-02T12:01:00Z"]
    for _ in range(3):
        api.tick(seconds=60)
    assert times(api, deployment) == [f"2026-03-02T12:0{minute}:00Z" for minute in (1, 2, 3, 4)]


def test_the_occurrence_is_exact_however_late_the_fire(api: Api) -> None:
    deployment = api.deployment(schedule=HOURLY)
    api.tick(seconds=3600 + 7.25)
    [run] = api.runs(deployment)
    assert run["trigger_context"] == {"type": "schedule", "scheduled_at": "2026-03-02T13:00:00Z"}
    assert run["created_at"] == "2026-03-02T13:00:07.250000Z"


def test_a_fire_makes_the_session_that_a_run_by_hand_makes(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE, name="Nightly")
    by_hand = api.fire(deployment)
    api.tick(seconds=60)
    [scheduled, first] = api.runs(deployment)
    assert first == by_hand
    assert scheduled["error"] is None
    assert scheduled["agent"] == by_hand["agent"]

    def shape(session_id: str) -> dict[str, Any]:
        session = api.get(f"/v1/sessions/{session_id}").ok()
        events = api.get(f"/v1/sessions/{session_id}/events").ok()["data"]
        assert session.pop("id") == session_id
        for moment in ("created_at", "updated_at", "stats"):
            session.pop(moment)
        return session | {"events": [{**event, "id": None, "processed_at": None} for event in events]}

    assert shape(scheduled["session_id"]) == shape(by_hand["session_id"])


def test_last_run_at_is_the_start_of_the_newest_scheduled_run_and_updated_at_stays(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.fire(deployment)
    assert api.get(path(deployment)).ok() == deployment
    api.tick(seconds=61.5)
    after = api.get(path(deployment)).ok()
    assert after["schedule"]["last_run_at"] == "2026-03-02T12:01:01.500000Z"
    assert after["updated_at"] == deployment["updated_at"]
    api.fire(deployment)
    assert api.get(path(deployment)).ok() == after


def test_many_deployments_that_are_due_at_once_fire_once_each(api: Api) -> None:
    agent, environment = api.agent()["id"], api.environment()["id"]
    made = [api.deployment(agent=agent, environment_id=environment, schedule=EVERY_MINUTE) for _ in range(25)]
    api.house.ticker._size = 7
    api.tick(seconds=60)
    assert [times(api, each) for each in made] == [["2026-03-02T12:01:00Z"]] * 25


def test_deployments_of_several_workspaces_fire_in_one_batch(api: Api) -> None:
    from rota.resources.workspaces import actions as workspaces
    from rota.resources.workspaces import keys
    from rota.resources.workspaces.wire import CreateWorkspace

    other = api.write(lambda tx: workspaces.create(tx, api.who, CreateWorkspace(name="Other"))).id
    key = api.write(lambda tx: keys.create(tx, api.who.organization_id, workspace_id=other)).key
    mine = api.deployment(schedule=EVERY_MINUTE)
    agent = api.post("/v1/agents", {"name": "a", "model": "m"}, key=key).ok()["id"]
    environment = api.post("/v1/environments", {"name": "e"}, key=key).ok()["id"]
    body = {"name": "n", "agent": agent, "environment_id": environment, "initial_events": mine["initial_events"]}
    theirs = api.post("/v1/deployments", body | {"schedule": EVERY_MINUTE}, key=key).ok()
    api.tick(seconds=60)
    assert len(api.runs(mine)) == 1
    assert api.runs(theirs) == []
    [run] = api.get("/v1/deployment_runs", key=key).ok()["data"]
    assert run["deployment_id"] == theirs["id"]
    assert api.get(f"/v1/sessions/{run['session_id']}", key=key).ok()["deployment_id"] == theirs["id"]


# Pause, unpause, update, archive


@pytest.mark.parametrize("verb", ["pause", "archive"])
def test_what_stops_a_schedule_before_it_fires_wins_even_if_it_was_due(api: Api, clock: HandClock, verb: str) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    clock.advance(seconds=60.5)
    api.post(path(deployment, verb)).ok()
    api.tick(seconds=600)
    assert times(api, deployment) == []


def test_what_comes_after_the_fire_loses(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.tick(seconds=60)
    api.post(path(deployment, "pause")).ok()
    [run] = api.runs(deployment)
    assert run["session_id"] is not None


def test_a_paused_schedule_goes_on_at_its_next_occurrence_and_makes_up_for_nothing(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.post(path(deployment, "pause")).ok()
    api.tick(seconds=600)
    api.post(path(deployment, "unpause")).ok()
    api.tick(seconds=30)
    assert times(api, deployment) == []
    api.tick(seconds=30)
    assert times(api, deployment) == ["2026-03-02T12:11:00Z"]


def test_a_replaced_schedule_fires_only_at_its_own_occurrences_after_the_update(api: Api, clock: HandClock) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    clock.advance(seconds=60.5)  # an occurrence of the old schedule is due, and one of the new one was a minute ago
    api.post(path(deployment), {"schedule": EVERY_MINUTE | {"expression": "*/5 * * * *"}}).ok()
    for _ in range(9):
        api.tick(seconds=60)
    assert times(api, deployment) == ["2026-03-02T12:05:00Z", "2026-03-02T12:10:00Z"]


def test_an_update_of_something_else_leaves_what_is_due_due_and_fires_with_what_is_new(
    api: Api, clock: HandClock
) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    clock.advance(seconds=60.5)
    api.post(path(deployment), {"name": "Renamed", "schedule": EVERY_MINUTE}).ok()
    api.tick()
    [run] = api.runs(deployment)
    assert run["trigger_context"]["scheduled_at"] == "2026-03-02T12:01:00Z"
    assert api.get(f"/v1/sessions/{run['session_id']}").ok()["title"] == "Renamed"


def test_a_schedule_may_be_taken_away_and_given_again(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.tick(seconds=60)
    api.post(path(deployment), {"schedule": None}).ok()
    api.tick(seconds=600)
    given = api.post(path(deployment), {"schedule": EVERY_MINUTE}).ok()
    assert given["schedule"]["last_run_at"] == "2026-03-02T12:01:00Z"
    api.tick(seconds=60)
    assert times(api, deployment) == ["2026-03-02T12:01:00Z", "2026-03-02T12:12:00Z"]


def test_a_schedule_given_to_a_paused_deployment_waits_for_unpause(api: Api) -> None:
    deployment = api.deployment()
    api.post(path(deployment, "pause")).ok()
    api.post(path(deployment), {"schedule": EVERY_MINUTE}).ok()
    api.tick(seconds=120)
    api.post(path(deployment, "unpause")).ok()
    api.tick(seconds=60)
    assert times(api, deployment) == ["2026-03-02T12:03:00Z"]


def test_archiving_the_agent_ends_its_schedules_without_a_run(api: Api, clock: HandClock) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    clock.advance(seconds=60.5)
    api.post(f"/v1/agents/{deployment['agent']['id']}/archive").ok()
    api.tick(seconds=600)
    assert api.runs(deployment) == []


def test_a_deployment_whose_agent_is_gone_is_archived_at_its_next_fire_without_a_run(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    other = api.deployment(schedule=EVERY_MINUTE)
    manual = api.deployment(agent=deployment["agent"]["id"])
    gone = Query("As if it had been deleted.", "DELETE FROM agents WHERE id = :id")
    api.write(lambda tx: tx.run(gone, id=deployment["agent"]["id"]))
    api.tick(seconds=60)
    archived = api.get(path(deployment)).ok()
    assert archived["archived_at"] == "2026-03-02T12:01:00Z"
    assert archived["status"] == "active"
    assert archived["schedule"]["upcoming_runs_at"] == []
    assert api.runs(deployment) == []
    assert announced(api, "deployment.archived") == [("deployment.archived", deployment["id"])]
    assert api.get(path(manual)).ok()["archived_at"] is None
    assert len(api.runs(other)) == 1


# What fails


def spoil(api: Api, deployment: dict[str, Any]) -> None:
    api.post(f"/v1/environments/{deployment['environment_id']}/archive").ok()


def test_a_fire_that_fails_is_recorded_and_pauses_the_deployment(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    api.tick(seconds=60)
    spoil(api, deployment)
    api.tick(seconds=60)
    [run, _] = api.runs(deployment)
    assert run["trigger_context"]["scheduled_at"] == "2026-03-02T12:02:00Z"
    assert run["session_id"] is None
    assert run["error"]["type"] == "environment_archived_error"
    paused = api.get(path(deployment)).ok()
    assert paused["status"] == "paused"
    assert paused["paused_reason"] == {"type": "error", "error": {"type": "environment_archived_error"}}
    assert paused["updated_at"] == deployment["updated_at"]
    assert paused["schedule"]["last_run_at"] == "2026-03-02T12:01:00Z"
    assert len(paused["schedule"]["upcoming_runs_at"]) == 5
    api.tick(seconds=600)
    assert len(api.runs(deployment)) == 2


def test_a_deployment_that_an_error_paused_goes_on_when_it_is_mended(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    spoil(api, deployment)
    api.tick(seconds=60)
    api.post(path(deployment), {"environment_id": api.environment()["id"]}).ok()
    api.tick(seconds=60)
    assert len(api.runs(deployment)) == 1
    api.post(path(deployment, "unpause")).ok()
    api.tick(seconds=60)
    [newest, _] = api.runs(deployment)
    assert newest["error"] is None
    assert newest["trigger_context"]["scheduled_at"] == "2026-03-02T12:03:00Z"


def test_a_run_by_hand_that_fails_pauses_nothing(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    spoil(api, deployment)
    assert api.fire(deployment)["error"]["type"] == "environment_archived_error"
    assert api.get(path(deployment)).ok() == deployment


def test_a_creation_that_is_rejected_pauses_nothing_and_the_next_occurrence_tries_again(api: Api) -> None:
    resource = {"type": "github_repository", "url": "https://github.com/acme/site", "authorization_token": "t0ken"}
    deployment = api.deployment(schedule=EVERY_MINUTE, resources=[resource, resource])
    for _ in range(2):
        api.tick(seconds=60)
    assert [run["error"]["type"] for run in api.runs(deployment)] == ["session_creation_rejected_error"] * 2
    after = api.get(path(deployment)).ok()
    assert (after["status"], after["schedule"]["last_run_at"]) == ("active", None)


def test_the_session_limit_is_recorded_and_pauses_nothing(database_url: str, tmp_path: Any, clock: HandClock) -> None:
    with Api(database_url, tmp_path, clock, rate_limit_sessions_per_minute=2) as api:
        agent, environment = api.agent()["id"], api.environment()["id"]
        made = [api.deployment(agent=agent, environment_id=environment, schedule=EVERY_MINUTE) for _ in range(3)]
        api.tick(seconds=60)
        errors = [run["error"] and run["error"]["type"] for each in made for run in api.runs(each)]
        assert sorted(errors, key=str) == [None, None, "session_rate_limited_error"]
        api.tick(seconds=60)
        assert [len(api.runs(each)) for each in made] == [2, 2, 2]
        assert {api.get(path(each)).ok()["status"] for each in made} == {"active"}


def test_the_two_exceptions_are_all_that_do_not_pause() -> None:
    from rota.resources.deployment_runs.wire import ErrorType

    assert len(set(ErrorType.__args__) - due._NEVER_PAUSE) == 14  # type: ignore[attr-defined]


# What is announced


def test_scheduled_runs_are_announced_and_runs_by_hand_are_not(api: Api) -> None:
    good = api.deployment(schedule=EVERY_MINUTE)
    api.fire(good)
    assert announced(api, "deployment_run") == []
    api.tick(seconds=60)
    [run, _] = api.runs(good)
    assert announced(api, "deployment_run") == [
        ("deployment_run.started", run["id"]),
        ("deployment_run.succeeded", run["id"]),
    ]


def test_a_failed_run_is_announced_together_with_the_pause(api: Api) -> None:
    deployment = api.deployment(schedule=EVERY_MINUTE)
    spoil(api, deployment)
    api.tick(seconds=60)
    [run] = api.runs(deployment)
    assert sorted(announced(api, "deployment_run", "deployment.paused")) == [
        ("deployment.paused", deployment["id"]),
        ("deployment_run.failed", run["id"]),
        ("deployment_run.started", run["id"]),
    ]
