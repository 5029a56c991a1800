"""The words in which the two validators refuse, as they are on record (contract, §1.1, §2.2 to §2.5, sessions)."""

from typing import Any

import pytest

from tests.api import HELLO, Api

DEPLOYMENT_WORDS: list[tuple[dict[str, Any], str]] = [
    ({"name": ...}, "name: Field required"),
    ({"agent": ...}, "agent: Field required"),
    ({"environment_id": ...}, "environment_id: Field required"),
    ({"initial_events": ...}, "initial_events: Field required"),
    ({"kind": 1}, "kind: Extra inputs are not permitted"),
    ({"schedule": {"type": "cron", "expression": "* * * * *", "timezone": "UTC", "jitter": 1}}, "schedule.jitter: Extra inputs are not permitted"),
    ({"initial_events": []}, "initial_events: value must contain at least 1 item"),
    ({"initial_events": HELLO * 51}, "initial_events: value must contain no more than 50 item(s)"),
    ({"initial_events": [{"type": "user.interrupt"}]}, 'initial_events[0].type: "user.interrupt" is not a valid value'),
    ({"initial_events": [*HELLO, {"type": "x"}]}, 'initial_events[1].type: "x" is not a valid value'),
    ({"name": ""}, "name: minimum string length is 1"),
    ({"name": "n" * 257}, "name: maximum string length is 256"),
    ({"schedule": {"type": "interval", "expression": "* * * * *", "timezone": "UTC"}}, 'schedule.type: "interval" is not a valid value'),
    ({"schedule": {"type": "cron", "expression": "* * * * *"}}, "schedule.timezone: Field required"),
    ({"schedule": {"type": "cron", "timezone": "UTC"}}, "schedule.expression: Field required"),
    ({"resources": [{"type": "github_repository"}]}, "resources.0.url: Field required"),
    ({"resources": [{"type": "github_repository", "url": "http://github.com/a/b"}]}, "validate deployment resources: invalid GitHub repository URL: repo URL must be https://github.com/{owner}/{repo}"),
    ({"metadata": {f"k{n}": "v" for n in range(17)}}, "invalid metadata: metadata map would have 17 entries, exceeding the maximum of 16"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), DEPLOYMENT_WORDS, ids=[message[:50] for _, message in DEPLOYMENT_WORDS])
def test_deployments_refuse_in_the_words_on_record(still_api: Api, change: dict[str, Any], message: str) -> None:
    known = {"name": "x", "agent": "agent_01x", "environment_id": "env_01x", "initial_events": HELLO, **change}
    body = {key: value for key, value in known.items() if value is not ...}
    assert still_api.post("/v1/deployments", body).refused(400) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "name: Field required"),
        ({"name": "x", "kind": 1}, "kind: Extra inputs are not permitted"),
        ({"name": "x", "config": {"type": "bogus"}}, "config: Input tag 'bogus' found using 'type' does not match any of the expected tags: 'cloud', 'self_hosted'"),
    ],
)  # fmt: skip
def test_environments_refuse_in_the_words_on_record(still_api: Api, body: dict[str, Any], message: str) -> None:
    assert still_api.post("/v1/environments", body).refused(400) == message


STORE = {"type": "memory_store", "memory_store_id": "memstore_01x"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": 1}, 'Failed to parse request body: unknown field "kind"'),
        ({"deployment_id": "depl_01x"}, 'Failed to parse request body: unknown field "deployment_id"'),
        ({"agent": {"type": "agent_with_overrides", "id": "a", "multiagent": None}}, 'Failed to parse request body: unknown field "multiagent"'),
        ({"resources": [{**STORE, "access": "x"}]}, 'Failed to parse request: resources[0].access: "x" is not a valid value; expected one of read_only, read_write'),
        ({"resources": [{**STORE, "instructions": "i" * 4097}]}, "resources.0.memory_store.instructions: must be at most 4096 characters"),
        ({"resources": [{"type": "github_repository", "url": "https://github.com/a/b", "authorization_token": ""}]}, "resources.0.github_repository.authorization_token: value is required"),
        ({"initial_events": [{"type": "user.message", "content": [{"type": "text", "text": ""}]}]}, "initial_events.0.user_message.content.0.text: value is required"),
    ],
)  # fmt: skip
def test_sessions_refuse_in_the_words_on_record(still_api: Api, change: dict[str, Any], message: str) -> None:
    body = {"agent": still_api.agent()["id"], "environment_id": "env_01x", **change}
    assert still_api.post("/v1/sessions", body).refused(400) == message


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"type": "agent.message"}, 'Failed to parse request: events[0].type: "agent.message" is not a valid value'),
        ({"type": "user.message", "content": [{"type": "text", "text": ""}]}, "events.0.user_message.content.0.text: value is required"),
    ],
)  # fmt: skip
def test_events_are_refused_in_the_words_on_record(still_api: Api, event: dict[str, Any], message: str) -> None:
    body = {"agent": still_api.agent()["id"], "environment_id": still_api.environment()["id"]}
    path = f"/v1/sessions/{still_api.post('/v1/sessions', body).ok()['id']}/events"
    assert still_api.post(path, {"events": [event]}).refused(400) == message
