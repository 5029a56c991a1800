"""Idempotency-Key on every POST that creates, besides runs (contract, decisions: idempotency)."""

import json

import pytest

from rota.http.route import Route
from tests.api import Api
from tests.security.makers import ROUTE, ROUTES, Sent, furnished

CREATES = [route for route in ROUTES if route.creates and route.name != "deployments.run" and route.upload is None]
"""Forms are looked at in ``test_uploads``."""
KEYED = {"idempotency-key": "once"}


@pytest.mark.parametrize("route", CREATES, ids=lambda route: route.name)
def test_a_create_that_is_sent_twice_is_done_once(api: Api, route: Route) -> None:
    home = furnished(api)
    params, sent = home.fresh_for(route), home.body(route)
    [listing] = [each for each in ROUTES if (each.method, each.path) == ("GET", route.path)]

    def count() -> int:
        return len(home.ask(listing, params).ok()["data"])

    first = home.ask(route, params, sent, headers=KEYED)
    first.ok()
    before = count()
    again = home.ask(route, params, sent, headers=KEYED)
    assert again.raw == first.raw
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.headers["request-id"] != first.headers["request-id"]
    assert count() == before


@pytest.mark.parametrize("route", [route for route in CREATES if route.body is not None], ids=lambda route: route.name)
def test_a_key_with_other_bytes_is_400_and_a_refusal_burns_no_key(sqlite_api: Api, route: Route) -> None:
    home = furnished(sqlite_api)
    params, sent = home.fresh_for(route), home.body(route)
    body = json.loads(sent.raw)
    assert home.ask(route, params, Sent.json({**body, "surprise": 1}), headers=KEYED).refused(400)
    home.ask(route, params, sent, headers=KEYED).ok()
    same_in_other_bytes = Sent(json.dumps(body, indent=1).encode())
    assert "Idempotency-Key" in home.ask(route, params, same_in_other_bytes, headers=KEYED).refused(400)


def test_the_same_key_on_another_route_is_another_key(sqlite_api: Api) -> None:
    home = furnished(sqlite_api)
    for name in ("agents.create", "environments.create", "sessions.create", "deployments.create"):
        response = home.ask(ROUTE[name], {}, headers=KEYED)
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
