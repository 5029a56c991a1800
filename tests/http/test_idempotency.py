"""Idempotency-Key on every POST that creates, besides runs (contract, decisions: idempotency)."""

import json

import pytest

from rota import api as table
from rota.resources.workspaces import keys
from tests.api import HELLO, KEY, Api

CREATES = [
    route for route in table.ROUTES if route.creates and route.name != "deployments.run" and route.upload is None
]
"""Forms are looked at in ``test_uploads``."""
KEYED = {"idempotency-key": "once"}


def request(api: Api, name: str) -> tuple[str, dict[str, object], str]:
    """The path, a good body and a key for a route that creates."""
    agent, environment = api.agent()["id"], api.environment()["id"]
    session = {"agent": agent, "environment_id": environment}
    match name:
        case "agents.create":
            return "/v1/agents", {"name": "Clerk", "model": "m"}, KEY
        case "environments.create":
            return "/v1/environments", {"name": "Somewhere"}, KEY
        case "sessions.create":
            return "/v1/sessions", {**session, "initial_events": HELLO}, KEY
        case "sessions.events.send":
            made = api.post("/v1/sessions", session).ok()["id"]
            return f"/v1/sessions/{made}/events", {"events": HELLO}, KEY
        case "deployments.create":
            return "/v1/deployments", {**session, "name": "n", "initial_events": HELLO}, KEY
        case "organizations.workspaces.create":
            admin = api.write(lambda tx: keys.create(tx, api.who.organization_id)).key
            return "/v1/organizations/workspaces", {"name": "Other"}, admin
        case "memory_stores.create":
            return "/v1/memory_stores", {"name": "Notes"}, KEY
        case "memory_stores.memories.create":
            return f"/v1/memory_stores/{api.memory_store()['id']}/memories", {"path": "/a", "content": "x"}, KEY
    raise AssertionError(name)


@pytest.mark.parametrize("name", [route.name for route in CREATES])
def test_a_create_that_is_sent_twice_is_done_once(api: Api, name: str) -> None:
    path, body, key = request(api, name)
    first = api.post(path, body, key=key, headers=KEYED)
    first.ok()
    before = len(api.get(path, key=key).ok()["data"])
    again = api.post(path, body, key=key, headers=KEYED)
    assert again.raw == first.raw
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["request-id"] != first.headers["request-id"]
    assert len(api.get(path, key=key).ok()["data"]) == before


@pytest.mark.parametrize("name", [route.name for route in CREATES])
def test_a_key_with_other_bytes_is_400_and_a_refusal_burns_no_key(sqlite_api: Api, name: str) -> None:
    path, body, key = request(sqlite_api, name)
    assert sqlite_api.post(path, {**body, "surprise": 1}, key=key, headers=KEYED).refused(400)
    sqlite_api.post(path, body, key=key, headers=KEYED).ok()
    same_in_other_bytes = json.dumps(body, indent=1).encode()
    assert "Idempotency-Key" in sqlite_api.post(path, raw=same_in_other_bytes, key=key, headers=KEYED).refused(400)


def test_the_same_key_on_another_route_is_another_key(sqlite_api: Api) -> None:
    for name in ("agents.create", "environments.create", "sessions.create", "deployments.create"):
        path, body, key = request(sqlite_api, name)
        response = sqlite_api.post(path, body, key=key, headers=KEYED)
        response.ok()
        assert "idempotent-replayed" not in response.headers


def test_creates_of_one_key_at_once_make_one_thing(api: Api) -> None:
    calls = [api.call("POST", "/v1/agents", {"name": "Clerk", "model": "m"}, headers=KEYED) for _ in range(10)]
    answers = api.gather(calls)
    good = {answer.raw for answer in answers if answer.status == 200}
    assert len(good) == 1
    for answer in answers:
        if answer.status != 200:
            answer.refused(409)
            assert answer.headers["x-should-retry"] == "true"
    assert len(api.get("/v1/agents").ok()["data"]) == 1


def test_on_other_routes_the_header_means_nothing(sqlite_api: Api) -> None:
    deployment = sqlite_api.deployment()
    path = f"/v1/deployments/{deployment['id']}"
    for name in ("one", "two"):
        assert sqlite_api.post(path, {"name": name}, headers=KEYED).ok()["name"] == name
    assert sqlite_api.get(path, headers={"idempotency-key": "\x00" * 999}).ok()
