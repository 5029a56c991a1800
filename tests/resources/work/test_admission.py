"""Who may do what with an environment's work and its sessions, and how everybody else is told (contract, environment key).

That nothing of other tenants can be seen is the matter of ``tests/security``; here are the words, and what does work.
"""

from pathlib import Path

import pytest

from rota.resources.workspaces import actions as workspaces
from rota.resources.workspaces import keys
from tests.api import Api
from tests.forms import file
from tests.resources.work.office import Hold, Office
from tests.resources.zips import manifest

SCOPE = "OAuth token does not meet scope requirement any_of({})"


@pytest.fixture
def busy(sqlite_office: Office) -> Hold:
    """A worker that serves a session with two memory stores, the second for reading only."""
    api = sqlite_office.api
    stores = [api.memory_store(name=name) for name in ("Notes", "Rules")]
    for store in stores:
        api.memory(store)
    access = ("read_write", "read_only")
    sqlite_office.session(
        resources=[
            {"type": "memory_store", "memory_store_id": store["id"], "access": each}
            for store, each in zip(stores, access, strict=True)
        ]
    )
    hold = sqlite_office.take()
    hold.beat().ok()
    return hold


def stores_of(hold: Hold) -> list[str]:
    resources = hold.office.api.get(f"/v1/sessions/{hold.session}").ok()["resources"]
    return [each["memory_store_id"] for each in resources]


# Environment keys


def test_a_key_of_another_environment_is_told_so_whatever_it_asks_for(sqlite_office: Office) -> None:
    office = sqlite_office
    office.session()
    hold = office.take()
    other = office.make_key(office.api.environment(config={"type": "self_hosted"})["id"])
    for environment in (office.environment, "env_nothing"):
        path = f"/v1/environments/{environment}/work"
        for method, below in [
            ("GET", "/poll"), ("GET", ""), ("GET", "/stats"),
            ("POST", f"/{hold.id}/ack"), ("POST", f"/{hold.id}/heartbeat"), ("POST", f"/{hold.id}/stop"),
        ]:  # fmt: skip
            response = office.api.run(office.api.call(method, path + below, key=other))
            assert response.refused(403, "permission_error") == "Token not authorized for this environment"
            assert response.headers["x-should-retry"] == "false"


def test_a_cloud_environment_has_no_work(sqlite_office: Office) -> None:
    api = sqlite_office.api
    environment = api.environment()["id"]
    key = sqlite_office.make_key(environment)
    path = f"/v1/environments/{environment}/work"
    assert api.get(f"{path}/poll", key=key).refused(400) == (
        f"Only BYOC and bridge environments support work polling. Environment {environment} is anthropic_cloud."
    )
    api.get(path, key=key).refused(404, "not_found_error")
    assert api.get(f"{path}/stats", key=key).ok() == {
        "type": "work_queue_stats", "depth": 0, "pending": 0, "oldest_queued_at": None, "workers_polling": None,
    }  # fmt: skip


def test_an_environment_key_may_not_look_at_one_item_nor_change_it(busy: Hold) -> None:
    office = busy.office
    path = f"{office.path}/{busy.id}"
    for response in (office.api.get(path, key=office.key), office.api.post(path, {"metadata": {}}, key=office.key)):
        assert response.refused(403, "permission_error") == SCOPE.format("workspace")


def test_a_key_that_was_revoked_is_told_so(sqlite_office: Office) -> None:
    api = sqlite_office.api
    [listed] = [each for each in api.read(keys.facts, api.who.organization_id) if each.scope == "environment"]
    api.write(keys.revoke, api.who.organization_id, listed.id)
    response = api.get(f"{sqlite_office.path}/poll", key=None, headers={"authorization": f"Bearer {sqlite_office.key}"})
    assert response.refused(401, "authentication_error") == "OAuth access token has been revoked."


def test_other_rooms_are_closed_to_it_each_in_its_own_words(sqlite_office: Office) -> None:
    office = sqlite_office
    skill = upload(office.api)
    assert office.api.get("/v1/agents", key=office.key).refused(401, "authentication_error") == "Authentication failed"
    assert office.api.get("/v1/files/file_1/content", key=office.key).refused(404, "not_found_error") == "Not found"
    for path in ("/v1/skills", f"/v1/skills/{skill}"):
        said = office.api.get(path, key=office.key).refused(403, "permission_error")
        assert said == SCOPE.format("workspace")
    office.api.get("/v1/memory_stores", key=office.key).refused(401, "authentication_error")


def test_it_serves_the_sessions_of_its_environment(busy: Hold) -> None:
    office, api = busy.office, busy.office.api
    path = f"/v1/sessions/{busy.session}"
    assert api.get(path, key=office.key).ok()["id"] == busy.session
    assert api.get(f"{path}/events", key=office.key).ok()["data"]
    [thread] = api.get(f"{path}/threads", key=office.key).ok()["data"]
    assert api.get(f"{path}/threads/{thread['id']}", key=office.key).ok() == thread
    call = office.call(busy.session)
    result = {"type": "user.tool_result", "tool_use_id": call}
    [sent] = office.send(busy.session, result, key=office.key).ok()["data"]
    assert sent["tool_use_id"] == call
    elsewhere = office.session(environment_id=api.environment()["id"])
    said = api.get(f"/v1/sessions/{elsewhere}", key=office.key).refused(404, "not_found_error")
    assert said == f"Session `{elsewhere}` not found."
    office.send(elsewhere, key=office.key).refused(404, "not_found_error")


def test_an_api_key_looks_after_the_queue_and_does_not_work(busy: Hold) -> None:
    office, api = busy.office, busy.office.api
    assert [item["id"] for item in api.get(office.path).ok()["data"]] == [busy.id]
    assert api.get(f"{office.path}/stats").ok()["depth"] == 0
    for method, below in [("GET", "poll"), ("POST", f"{busy.id}/ack"), ("POST", f"{busy.id}/heartbeat")]:
        said = api.run(api.call(method, f"{office.path}/{below}")).refused(403, "permission_error")
        assert said == "This needs an environment key: `rota keys create --environment ID` makes one."
    call = office.call(busy.session)
    assert "environment credentials" in office.send(
        busy.session, {"type": "user.tool_result", "tool_use_id": call}
    ).refused(403, "permission_error")
    assert api.post(f"{office.path}/{busy.id}/stop", {"force": True}).ok()["state"] == "stopped"


# Sessions tokens


def test_a_token_serves_its_own_session_and_no_other(busy: Hold) -> None:
    office, api = busy.office, busy.office.api
    path = f"/v1/sessions/{busy.session}"
    assert api.get(path, key=None, headers={"authorization": f"Bearer {busy.token}"}).ok()["id"] == busy.session
    call = office.call(busy.session)
    [sent] = busy.answer(call).ok()["data"]
    assert sent["type"] == "user.tool_result"
    assert sent["processed_at"] is not None
    other = office.session()
    api.get(f"/v1/sessions/{other}", key=busy.token).refused(404, "not_found_error")
    office.send(other, key=busy.token).refused(404, "not_found_error")
    api.get("/v1/sessions", key=busy.token).refused(401, "authentication_error")
    api.delete(path, key=busy.token).refused(401, "authentication_error")


def test_a_token_takes_up_no_work(busy: Hold) -> None:
    office, api = busy.office, busy.office.api
    office.session()
    for method, below in [("GET", "/poll"), ("POST", f"/{busy.id}/ack"), ("GET", ""), ("GET", "/stats")]:
        response = api.run(api.call(method, office.path + below, key=busy.token))
        assert response.refused(403, "permission_error").startswith("OAuth token does not meet scope requirement")
    [waiting] = [item for item in office.live() if item["id"] != busy.id]
    for verb in ("heartbeat", "stop"):
        said = api.post(f"{office.path}/{waiting['id']}/{verb}", key=busy.token).refused(404, "not_found_error")
        assert said == f"Work item {waiting['id']} not found."


def test_an_idempotency_key_is_the_credential_s_own(busy: Hold) -> None:
    office = busy.office
    headers = {"idempotency-key": "once"}
    first = office.send(busy.session, headers=headers).ok()
    second = office.send(busy.session, headers=headers, key=busy.token).ok()
    assert first != second
    assert office.send(busy.session, headers=headers, key=busy.token).ok() == second


def test_attached_memories_are_read_and_written_for_the_session(busy: Hold) -> None:
    api = busy.office.api
    notes, rules = stores_of(busy)
    for store in (notes, rules):
        [memory] = api.get(f"/v1/memory_stores/{store}/memories?view=full", key=busy.token).ok()["data"]
        assert memory["content"] == "A note."
        assert api.get(f"/v1/memory_stores/{store}/memories/{memory['id']}", key=busy.token).ok()["id"] == memory["id"]
    made = api.post(f"/v1/memory_stores/{notes}/memories", {"path": "/new.md", "content": "New."}, key=busy.token).ok()
    version = f"/v1/memory_stores/{notes}/memory_versions/{made['memory_version_id']}"
    assert api.get(version).ok()["created_by"] == {"type": "session_actor", "session_id": busy.session}
    path = f"/v1/memory_stores/{notes}/memories/{made['id']}"
    assert api.post(path, {"content": "Newer."}, key=busy.token).ok()["content_sha256"] != made["content_sha256"]
    api.delete(path, key=busy.token).ok()


def test_what_is_attached_for_reading_is_not_written(busy: Hold) -> None:
    api = busy.office.api
    _, rules = stores_of(busy)
    path = f"/v1/memory_stores/{rules}/memories"
    [memory] = api.get(path, key=busy.token).ok()["data"]
    for response in (
        api.post(path, {"path": "/new.md", "content": "New."}, key=busy.token),
        api.post(f"{path}/{memory['id']}", {"content": "Newer."}, key=busy.token),
        api.delete(f"{path}/{memory['id']}", key=busy.token),
    ):
        said = response.refused(403, "permission_error")
        assert said == f"memory store {rules} is attached to the session for reading only"
    assert api.get(path, key=busy.token).ok()["data"] == [memory]


def test_a_store_that_is_not_attached_is_not_there(busy: Hold) -> None:
    api = busy.office.api
    other = api.memory_store()["id"]
    for store in (other, "memstore_nothing"):
        path = f"/v1/memory_stores/{store}/memories"
        for response in (
            api.get(path, key=busy.token),
            api.post(path, {"path": "/new.md", "content": "New."}, key=busy.token),
            api.get(f"/v1/memory_stores/{store}", key=busy.token),
        ):
            assert response.refused(404, "not_found_error") == f"memory store not found: {store}"
    api.get("/v1/memory_stores", key=busy.token).refused(401, "authentication_error")
    api.post("/v1/memory_stores", {"name": "Mine"}, key=busy.token).refused(401, "authentication_error")


def test_skills_are_downloaded_with_either_credential(busy: Hold) -> None:
    api = busy.office.api
    path = f"/v1/skills/{upload(api)}/versions"
    for key in (busy.token, busy.office.key):
        latest = api.get(f"{path}/latest", key=key).ok()
        assert api.get(f"{path}/{latest['id']}", key=key).ok() == latest
        content = api.get(f"{path}/{latest['id']}/content", key=key)
        assert (content.status, content.raw[:2]) == (200, b"PK")
        api.get(path, key=key).refused(403, "permission_error")


def test_where_only_reading_is_left_no_work_is_handed_out(sqlite_office: Office) -> None:
    office = sqlite_office
    office.session()
    office.api.write(workspaces.set_disabled, office.api.who.organization_id, True)
    assert office.poll() is None


def test_only_a_digest_of_a_token_is_kept(busy: Hold) -> None:
    secret = busy.token.rsplit("-", 2)[1]
    for name in ("rota.db", "rota.db-wal"):
        kept = Path(busy.office.api.settings.data_dir, name).read_bytes()
        assert secret.encode() not in kept
        assert busy.item["secret"].encode() not in kept


def upload(api: Api) -> str:
    """A new skill's id."""
    return api.post("/v1/skills", form=[file(manifest(), "my-skill/SKILL.md", name="files[]")]).ok()["id"]
