"""What a run would come to now, and why an earlier one came to what it did: reads that change nothing.

That a dry run says what a run then records is seen in ``test_sixteen``, for each error and for every two.
"""

from typing import Any

import pytest

from rota.base.key_file import LazySealer
from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from rota.resources.workspaces.wire import CreateWorkspace
from rota.store.tx import Query, Tx
from tests.api import Api
from tests.resources.scenes import Scene, count_rows, run_sql

Json = dict[str, Any]
CRON = {"type": "cron", "expression": "30 2 * * *", "timezone": "Europe/Berlin"}
SET_BODY = Query("Put another body in its place.", "UPDATE deployments SET body = :body WHERE id = :id")


def check(api: Api, deployment: Json, **more: Any) -> Json:
    return api.get(f"/rota/v1/deployments/{deployment['id']}/check", **more).ok()


def explain(api: Api, run: Json) -> Json:
    return api.get(f"/rota/v1/deployment_runs/{run['id']}/explain").ok()


def line(seen: Json, what: str) -> Json:
    """The only line about something of this kind."""
    [found] = [each for each in seen["checks"] if each["what"] == what]
    return found


def test_a_dry_run_says_what_everything_resolves_to_and_changes_nothing(api: Api) -> None:
    scene = Scene(api)
    before = count_rows(api)
    seen = scene.check()
    assert count_rows(api) == before
    assert (seen["type"], seen["deployment_id"]) == ("deployment_check", scene.deployment)
    assert seen["checked_at"] == "2026-03-02T12:00:00Z"
    assert (seen["outcome"], seen["error"], seen["says"]) == ("session", None, "A run now would make a session.")
    found = {(each["what"], each["id"]): each["found"] for each in seen["checks"]}
    expected = {
        ("deployment", scene.deployment): "active",
        ("schedule", None): "none: it runs only when asked to",
        ("organization", api.who.organization_id): "enabled",
        ("workspace", scene.workspace_id): "live",
        ("agent", scene.head): "version 1, Head",
        ("roster_agent", scene.member): "version 1, Member",
        ("environment", scene.environment): "cloud, limited networking",
        ("memory_store", scene.stores[0]): "Notes, read_write, at /mnt/memory/notes",
        ("memory_store", scene.stores[2]): "Notes, read_write, at /mnt/memory/notes-3",
        ("github_repository", "https://github.com/acme/site"): "the default branch, with a token, at /workspace/site",
        ("skill", "pdf"): "prebuilt",
        ("mcp_server", "docs (mcp.example.com)"): "let through by allowed_hosts",
        ("budget", None): "500 cents; claude-opus-5-5 has a list price",
    }
    assert {place: found.get(place) for place in expected} == expected
    assert all(
        (each["verdict"], each["error"], each["recorded"], each["mend"]) == ("ok", None, False, None)
        for each in seen["checks"]
    )


def test_all_that_is_broken_is_told_and_which_of_it_would_be_recorded(sqlite_api: Api) -> None:
    api = sqlite_api
    stores = [api.memory_store() for _ in range(3)]
    resources = [{"type": "memory_store", "memory_store_id": store["id"]} for store in stores]
    deployment = api.deployment(resources=resources)
    api.delete(f"/v1/memory_stores/{stores[0]['id']}").ok()
    api.post(f"/v1/memory_stores/{stores[1]['id']}/archive").ok()
    api.post(f"/v1/environments/{deployment['environment_id']}/archive").ok()
    seen = check(api, deployment)
    broken = [(each["id"], each["error"], each["recorded"]) for each in seen["checks"] if each["verdict"] == "broken"]
    assert broken == [
        (deployment["environment_id"], "environment_archived_error", True),
        (stores[0]["id"], "session_resource_not_found_error", False),
        (stores[1]["id"], "memory_store_archived_error", False),
    ]
    assert seen["says"] == "A run now would make no session and record environment_archived_error."
    assert seen["error"] == api.fire(deployment)["error"]


def test_a_schedule_that_waits_is_told_beside_what_is_broken(sqlite_api: Api) -> None:
    api = sqlite_api
    deployment = api.deployment(schedule=CRON)
    path = f"/v1/deployments/{deployment['id']}"
    assert line(check(api, deployment), "schedule")["found"] == (
        "30 2 * * * in Europe/Berlin, next at 2026-03-03 01:30 UTC"
    )
    api.post(path + "/pause").ok()
    seen = check(api, deployment)
    assert (seen["outcome"], line(seen, "deployment")["verdict"]) == ("session", "ok")
    assert line(seen, "deployment")["found"] == "paused by hand; it still runs when asked to"
    assert "Unpause" in line(seen, "deployment")["mend"]
    assert line(seen, "schedule")["found"].endswith(", but it is paused")
    run_sql(api, ["UPDATE deployments SET paused_error = 'vault_archived_error' WHERE status = 'paused'"])
    assert "vault_archived_error" in line(check(api, deployment), "deployment")["found"]


def test_a_run_of_an_archived_deployment_would_be_refused(sqlite_api: Api) -> None:
    api = sqlite_api
    deployment = api.deployment()
    run = api.fire(deployment)
    api.post(f"/v1/deployments/{deployment['id']}/archive").ok()
    seen = check(api, deployment)
    assert (seen["outcome"], seen["error"]) == ("refused", None)
    assert seen["says"].endswith("Cannot modify archived deployment.")
    broken = line(seen, "deployment")
    assert (broken["verdict"], broken["error"], broken["recorded"]) == ("broken", None, False)
    assert explain(api, run)["now"] == seen["says"]


def test_a_run_that_made_a_session_says_what_became_of_it(api: Api) -> None:
    deployment = api.deployment()
    run = api.fire(deployment)
    told = explain(api, run)
    assert (told["type"], told["deployment_run_id"]) == ("deployment_run_explanation", run["id"])
    assert (told["deployment_id"], told["session_id"], told["error"]) == (deployment["id"], run["session_id"], None)
    assert told["meaning"] == f"It made the session {run['session_id']}, which is running now."
    assert (told["still_broken"], told["mend"], told["pauses_schedule"], told["checks"]) == (None, None, False, [])
    run_sql(api, ["UPDATE sessions SET status = 'idle'"])
    api.delete(f"/v1/sessions/{run['session_id']}").ok()
    assert explain(api, run)["meaning"] == f"It made the session {run['session_id']}, which was deleted since."


def test_a_failure_that_has_given_way_to_another_is_told_apart(sqlite_api: Api) -> None:
    api = sqlite_api
    deployment = api.deployment()
    api.post(f"/v1/environments/{deployment['environment_id']}/archive").ok()
    run = api.fire(deployment)
    api.delete(f"/v1/environments/{deployment['environment_id']}").ok()
    told = explain(api, run)
    assert (told["error"]["type"], told["still_broken"]) == ("environment_archived_error", False)
    assert told["now"] == "A run now would make no session and record environment_not_found_error."


def test_a_deployment_that_cannot_be_read_is_an_unknown_error_before_it_is_run_too(api: Api) -> None:
    deployment = api.deployment()
    api.write(lambda tx: tx.run(SET_BODY, id=deployment["id"], body="not JSON"))
    seen = check(api, deployment)
    run = api.fire(deployment)
    assert (seen["outcome"], seen["error"]) == ("error", run["error"])
    [broken] = seen["checks"]
    assert (broken["what"], broken["error"], broken["recorded"]) == ("deployment", "unknown_error", True)
    told = explain(api, run)
    assert (told["still_broken"], told["checks"]) == (True, [broken])


def test_a_token_that_no_key_opens_is_seen_before_a_run(api: Api, tmp_path: Any) -> None:
    site = {"type": "github_repository", "url": "https://github.com/acme/site", "authorization_token": "t0ken"}
    deployment = api.deployment(resources=[site])
    policy = api.house.app.policy
    policy.sealer = LazySealer(None, tmp_path / "another.key")
    seen = check(api, deployment)
    [broken] = [each for each in seen["checks"] if each["verdict"] == "broken"]
    assert (broken["what"], broken["id"], broken["error"]) == ("github_repository", site["url"], "unknown_error")
    assert "seal" in broken["mend"]
    assert seen["error"] == api.fire(deployment)["error"]


@pytest.mark.parametrize("asked", ["depl_01AbCdEfGhJkLmNpQrStUvWx", "nonsense"])
def test_what_is_not_there_is_not_found(still_api: Api, asked: str) -> None:
    api = still_api

    def stranger(tx: Tx) -> str:
        workspace = workspaces.create(tx, api.who, CreateWorkspace(name="second"))
        return keys.create(tx, api.who.organization_id, workspace_id=workspace.id).key

    key = api.write(stranger)
    deployment = api.deployment()
    run = api.fire(deployment)
    for deployment_id, used in ((asked, None), (deployment["id"], key)):
        more = {} if used is None else {"key": used}
        said = api.get(f"/rota/v1/deployments/{deployment_id}/check", **more).refused(404, "not_found_error")
        assert said == f"Deployment `{deployment_id}` not found."
    for run_id, used in ((asked, None), (run["id"], key)):
        more = {} if used is None else {"key": used}
        said = api.get(f"/rota/v1/deployment_runs/{run_id}/explain", **more).refused(404, "not_found_error")
        assert said == f"Deployment run `{run_id}` not found."
