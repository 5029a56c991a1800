"""Webhook endpoints through the API: a workspace's, and the organization's (contract, webhooks §10.5)."""

from typing import Any

import pytest

from rota.resources.webhooks import actions, deliveries, events, sql
from rota.resources.workspaces import keys
from tests.api import Api

URL = "https://hooks.example.com/rota"
BETA = {"anthropic-beta": "webhooks-2026-10-07"}


def endpoint(api: Api, **fields: Any) -> dict[str, Any]:
    return api.post("/rota/v1/webhooks", {"url": URL, "enabled_events": ["agent.created"], **fields}).ok()


def admin(api: Api) -> str:
    return api.write(lambda tx: keys.create(tx, api.who.organization_id)).key


def waiting(api: Api, made: dict[str, Any]) -> list[dict[str, Any]]:
    """The deliveries to an endpoint, after what waits has been shared out; oldest first."""
    api.write(deliveries.share_out, api.house.app.policy)
    return api.get(f"/rota/v1/webhooks/{made['id']}/deliveries").ok()["data"][::-1]


def test_an_endpoint_is_made_with_a_secret_that_nothing_shows_again(api: Api) -> None:
    made = endpoint(api, name="Office", description="Rings the bell.")
    secret = made.pop("signing_secret")
    assert secret.startswith("whsec_")
    assert made == {
        "id": made["id"], "url": URL, "name": "Office", "description": "Rings the bell.",
        "enabled_events": ["agent.created"], "state": "enabled", "disabled_reason": "",
        "created_at": "2026-03-02T12:00:00Z", "updated_at": "2026-03-02T12:00:00Z",
    }  # fmt: skip
    assert api.get(f"/rota/v1/webhooks/{made['id']}").ok() == made
    assert api.get("/rota/v1/webhooks").ok()["data"] == [made]
    sealed = api.read(lambda tx: tx.all(sql.SECRETS, endpoint_id=made["id"], now=tx.now))
    assert secret.encode() not in bytes(sealed[0][1])


def test_what_is_omitted_stays_and_an_empty_list_of_events_changes_nothing(api: Api) -> None:
    made = endpoint(api, name="Office")
    api.clock.advance(seconds=1)
    path = f"/rota/v1/webhooks/{made['id']}"
    changed = api.post(path, {"enabled_events": [], "description": "Still the office."}).ok()
    assert changed["enabled_events"] == ["agent.created"]
    assert changed["name"] == "Office"
    assert changed["description"] == "Still the office."
    assert changed["updated_at"] == "2026-03-02T12:00:01Z"
    assert api.post(path, {}).ok() == changed


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"enabled_events": ["agent.created"]}, "url: Field required"),
        ({"url": URL}, "enabled_events: Field required"),
        ({"url": URL, "enabled_events": []}, "enabled_events: value must contain at least 1 item"),
        ({"url": URL, "enabled_events": ["agent.sneezed"]}, 'enabled_events[0]: "agent.sneezed" is not a valid value'),
        (
            {"url": "http://hooks.example.com/", "enabled_events": ["agent.created"]},
            "url: hooks.example.com may only be asked over https; ROTA_ALLOW_PRIVATE_HOSTS can list the host",
        ),
        (
            {"url": "https://127.0.0.1/", "enabled_events": ["agent.created"]},
            "url: 127.0.0.1 is at an address that is not public; ROTA_ALLOW_PRIVATE_HOSTS can list the host",
        ),
        ({"url": URL, "enabled_events": ["agent.created"], "secret": "x"}, "secret: Extra inputs are not permitted"),
    ],
)
def test_what_is_refused(still_api: Api, body: dict[str, Any], message: str) -> None:
    assert still_api.post("/rota/v1/webhooks", body).refused(400) == message


def test_a_workspace_has_at_most_thirty_two_endpoints(sqlite_api: Api) -> None:
    for _ in range(actions.MAX_ENDPOINTS):
        last = endpoint(sqlite_api)
    body = {"url": URL, "enabled_events": ["agent.created"]}
    assert "32 webhook endpoints" in sqlite_api.post("/rota/v1/webhooks", body).refused(400)
    sqlite_api.delete(f"/rota/v1/webhooks/{last['id']}").ok()
    endpoint(sqlite_api)


def test_an_endpoint_hears_what_it_subscribed_to_in_the_published_envelope(api: Api) -> None:
    made = endpoint(api, enabled_events=["agent.created", "vault_credential.created"])
    agent = api.agent()
    api.environment()
    vault = api.post("/v1/vaults", {"display_name": "Keys"}).ok()
    auth = {"type": "static_bearer", "mcp_server_url": "https://mcp.example.com/", "token": "t"}
    credential = api.post(f"/v1/vaults/{vault['id']}/credentials", {"auth": auth}).ok()
    first, second = waiting(api, made)
    ids = {"organization_id": api.who.organization_id, "workspace_id": api.who.workspace_id}
    assert first["event"] == {
        "type": "event", "id": first["event"]["id"], "created_at": "2026-03-02T12:00:00Z",
        "data": {"type": "agent.created", "id": agent["id"], **ids},
    }  # fmt: skip
    assert first["event"]["id"].startswith("whe_")
    assert second["event"]["data"] == {
        "type": "vault_credential.created", "id": credential["id"], "vault_id": vault["id"], **ids,
    }  # fmt: skip
    assert (first["state"], first["attempts"], first["last_attempt"]) == ("pending", 0, None)


def test_a_subscription_is_that_of_the_moment_at_which_something_happened(api: Api) -> None:
    api.agent()  # nobody listens yet
    made = endpoint(api)
    api.agent(name="heard")
    path = f"/rota/v1/webhooks/{made['id']}"
    api.post(path, {"enabled_events": ["environment.created"]}).ok()
    api.agent(name="no longer")
    api.environment()
    heard = [each["event"]["data"]["type"] for each in waiting(api, made)]
    assert heard == ["agent.created", "environment.created"]


def test_what_happens_while_an_endpoint_is_disabled_is_lost_and_what_waits_is_dropped(api: Api) -> None:
    made = endpoint(api)
    api.agent()
    path = f"/rota/v1/webhooks/{made['id']}"
    assert api.post(path, {"state": "disabled"}).ok()["disabled_reason"] == ""
    api.agent()
    api.post(path, {"state": "enabled"}).ok()
    api.agent()
    assert [each["state"] for each in waiting(api, made)] == ["dropped", "pending"]


def test_another_workspace_hears_nothing_and_sees_no_endpoint(api: Api) -> None:
    made = endpoint(api)
    workspace = api.post("/v1/organizations/workspaces", {"name": "Other"}, key=admin(api)).ok()["id"]
    other = api.write(lambda tx: keys.create(tx, api.who.organization_id, workspace_id=workspace)).key
    api.post("/v1/agents", {"name": "Clerk", "model": "m"}, key=other).ok()
    assert waiting(api, made) == []
    for path in ("", "/deliveries"):
        missing = api.get(f"/rota/v1/webhooks/{made['id']}{path}", key=other).refused(404, "not_found_error")
        assert missing == f"Webhook endpoint `{made['id']}` not found."


def test_a_new_secret_signs_beside_the_old_one_for_a_day(api: Api) -> None:
    made = endpoint(api)
    path = f"/rota/v1/webhooks/{made['id']}/regenerate_signing_secret"
    second = api.post(path).ok()["signing_secret"]
    assert signing(api, made) == [second, made["signing_secret"]]
    api.clock.advance(seconds=3600)
    third = api.post(path).ok()["signing_secret"]
    assert signing(api, made) == [third, second, made["signing_secret"]]
    api.clock.advance(seconds=24 * 3600 - 1)
    assert signing(api, made) == [third, second]
    api.clock.advance(seconds=1)
    assert signing(api, made) == [third]


def signing(api: Api, made: dict[str, Any]) -> list[str]:
    api.agent()
    api.write(deliveries.share_out, api.house.app.policy)
    [delivery, *_] = api.write(deliveries.claim, api.house.app.policy, made["id"], 1)
    return list(delivery.secrets)


def test_a_test_event_is_about_nothing_and_goes_the_same_way(api: Api) -> None:
    made = endpoint(api, enabled_events=["vault_credential.created"])
    delivery = api.post(f"/rota/v1/webhooks/{made['id']}/test").ok()
    assert delivery["event"]["data"]["id"] == "test"
    assert delivery["event"]["data"]["vault_id"] == "test"
    assert waiting(api, made) == [delivery]
    path = f"/rota/v1/webhooks/{made['id']}/deliveries/{delivery['id']}"
    assert api.get(path).ok() == delivery
    assert "still on its way" in api.post(path + "/resend").refused(400)
    api.post(f"/rota/v1/webhooks/{made['id']}", {"state": "disabled"}).ok()
    assert "is disabled (by hand)" in api.post(path + "/resend").refused(400)


def test_the_organizations_endpoints_are_the_published_ones(api: Api) -> None:
    key = admin(api)
    path = "/v1/organizations/webhooks"
    body = {"url": URL, "enabled_events": ["external_key.failed"]}
    assert api.post(path, body, key=key).refused(404, "not_found_error") == "not found"
    made = [api.post(path, body, key=key, headers=BETA).ok() for _ in range(3)]
    assert set(made[0]) - {"signing_secret"} == set(endpoint(api)) - {"signing_secret"}
    for each in made:
        del each["signing_secret"]
    first, second, third = made
    listed = api.get(path, key=key, headers=BETA).ok()
    assert listed == {
        "data": [third, second, first],
        "has_more": False,
        "first_id": third["id"],
        "last_id": first["id"],
    }
    page = api.get(f"{path}?limit=1&after_id={third['id']}", key=key, headers=BETA).ok()
    assert (page["data"], page["has_more"]) == ([second], True)
    page = api.get(f"{path}?limit=1&order=asc&before_id={third['id']}", key=key, headers=BETA).ok()
    assert (page["data"], page["has_more"]) == ([first], True)
    assert api.get(f"{path}?limit=0", key=key, headers=BETA).ok() == listed
    assert api.get(f"{path}/{second['id']}", key=key, headers=BETA).ok() == second
    assert api.post(f"{path}/{second['id']}", {"name": "Second"}, key=key, headers=BETA).ok()["name"] == "Second"
    assert api.post(f"{path}/{second['id']}/regenerate_signing_secret", key=key, headers=BETA).ok()["signing_secret"]
    gone = api.delete(f"{path}/{second['id']}", key=key, headers=BETA).ok()
    assert gone == {"id": second["id"], "type": "webhook_endpoint_deleted"}
    api.post(path, {**body, "enabled_events": ["agent.created"]}, key=key, headers=BETA).refused(400)
    api.get(f"/rota/v1/webhooks/{first['id']}").refused(404, "not_found_error")


def test_every_announcement_that_the_rooms_make_is_in_the_catalogue() -> None:
    import re
    from pathlib import Path

    texts = [path.read_text() for path in Path(actions.__file__).parents[1].rglob("*.py")]
    made = {name for text in texts for name in re.findall(r'announce\(\s*tx,\s*\w+,\s*"([\w.]+)"', text)}
    assert len(made) >= 10
    assert made <= events.WORKSPACE | events.ORGANIZATION
