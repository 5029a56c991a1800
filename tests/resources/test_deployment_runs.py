"""Deployment runs: read by everybody, changed by nobody (contract, deployment run object)."""

from typing import Any

import pytest

from rota.base.clock import HandClock
from rota.resources.deployment_runs import sql
from rota.store.tx import Query, Tx
from tests.api import Api

ROW = ("drun_x", "wrkspc_x", "depl_x", 1, None, "sesn_x", None, None, "agent_x", 1)


def runs(api: Api, **query: Any) -> list[str]:
    return [run["id"] for run in api.get("/v1/deployment_runs", query=query).ok()["data"]]


def test_a_run_has_eight_keys_and_is_read_back_as_it_was_answered(api: Api) -> None:
    deployment = api.deployment()
    run = api.fire(deployment)
    assert set(run) == {"type", "id", "deployment_id", "trigger_context", "session_id", "error", "agent", "created_at"}
    assert run["trigger_context"] == {"type": "manual"}
    assert run["agent"] == deployment["agent"]
    assert api.get(f"/v1/deployment_runs/{run['id']}").ok() == run
    api.get("/v1/deployment_runs/drun_none").refused(404, "not_found_error")


def test_runs_are_listed_newest_first_and_filtered(api: Api, clock: HandClock) -> None:
    one, two = api.deployment(), api.deployment()
    first = api.fire(one)
    clock.advance(seconds=10)
    second = api.fire(two)
    clock.advance(seconds=10)
    api.post(f"/v1/environments/{one['environment_id']}/archive").ok()
    third = api.fire(one)
    every = [third["id"], second["id"], first["id"]]
    assert runs(api) == every
    assert runs(api, deployment_id=one["id"]) == [third["id"], first["id"]]
    assert runs(api, deployment_id="depl_none") == []
    assert runs(api, has_error="true") == [third["id"]]
    assert runs(api, has_error="false") == [second["id"], first["id"]]
    assert runs(api, trigger_type="manual") == every
    assert runs(api, trigger_type="schedule") == []
    at = second["created_at"]
    assert runs(api, **{"created_at[gt]": at}) == [third["id"]]
    assert runs(api, **{"created_at[gte]": at}) == every[:2]
    assert runs(api, **{"created_at[lt]": at}) == [first["id"]]
    assert runs(api, **{"created_at[lte]": at}) == every[1:]
    for bad in (
        {"has_error": "perhaps"},
        {"trigger_type": "x"},
        {"limit": 0},
        {"limit": 1001},
        {"created_at[gt]": "soon"},
    ):
        api.get("/v1/deployment_runs", query=bad).refused(400)


def test_a_run_keeps_the_id_of_a_session_that_was_deleted(api: Api) -> None:
    run = api.fire(api.deployment())
    stop = Query("Let the session rest, as its turn would.", "UPDATE sessions SET status = 'idle' WHERE id = :id")
    api.write(lambda tx: tx.run(stop, id=run["session_id"]))
    api.delete(f"/v1/sessions/{run['session_id']}").ok()
    assert api.get(f"/v1/deployment_runs/{run['id']}").ok() == run


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE deployment_runs SET session_id = 'another' WHERE id = :id",
        "UPDATE deployment_runs SET agent_version = 2 WHERE id = :id",
        "DELETE FROM deployment_runs WHERE id = :id",
    ],
)
def test_the_database_refuses_to_rewrite_history(api: Api, text: str) -> None:
    run = api.fire(api.deployment())
    with pytest.raises(Exception, match="append-only"):
        api.write(lambda tx: tx.run(Query("Forbidden.", text), id=run["id"]))
    assert api.get(f"/v1/deployment_runs/{run['id']}").ok() == run


@pytest.mark.parametrize(
    "row",
    [
        (*ROW[:5], None, None, None, *ROW[8:]),  # neither
        (*ROW[:5], "sesn_x", "unknown_error", "m", *ROW[8:]),  # both
        (*ROW[:5], None, "unknown_error", None, *ROW[8:]),  # an error without its message
    ],
)
def test_the_database_refuses_a_run_without_exactly_one_outcome(api: Api, row: tuple[Any, ...]) -> None:
    with pytest.raises(Exception, match=r"(?i)check"):
        api.write(lambda tx: tx.insert(sql.INSERT, [row]))


def test_the_database_refuses_a_second_run_of_one_occurrence(api: Api) -> None:
    def insert(tx: Tx, run_id: str, scheduled_at: int | None) -> None:
        tx.insert(sql.INSERT, [(run_id, *ROW[1:4], scheduled_at, *ROW[5:])])

    api.write(insert, "drun_1", 60_000_000)
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        api.write(insert, "drun_2", 60_000_000)
    api.write(insert, "drun_3", 120_000_000)
    api.write(insert, "drun_4", None)
    api.write(insert, "drun_5", None)
