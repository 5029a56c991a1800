"""What is secret is marked as such, comes in and never goes out, and no refusal repeats it."""

import json
import re
from typing import Any

import pytest

from rota import api
from rota.http import openapi
from rota.http.route import Route
from tests.api import Api
from tests.security.fields import Planter, named_fields, routes_with_secrets, secret_fields

LOOKS_SECRET = re.compile(r"(^|_)(token|secret|password|passphrase|credential|api_key|private_key|value)$")
ECHOED = {("resources", "[]", "<github_repository>", "authorization_token")}
"""A deployment shows its resources in the type in which they were sent. Their token is taken out before they are kept, so that
there is none to show; the canaries see to it."""
BODIES = [route for route in api.ROUTES if route.body is not None]
HOLDING = [route for route in BODIES if secret_fields(route.body)]


def test_there_are_secret_fields() -> None:
    names = {field[-1] for _, field in routes_with_secrets()}
    assert names >= {"authorization_token", "access_token", "refresh_token", "client_secret", "token", "secret_value"}


@pytest.mark.parametrize("route", BODIES, ids=lambda route: route.name)
def test_a_field_that_looks_secret_is_marked(route: Route) -> None:
    for field, marked in named_fields(route.body):
        if LOOKS_SECRET.search(field[-1]):
            assert marked, f"{route.name}: is {'.'.join(field)} a Secret?"


@pytest.mark.parametrize("route", api.ROUTES, ids=lambda route: route.name)
def test_nothing_that_is_marked_goes_out(route: Route) -> None:
    if route.returns is not str:
        assert [field for field in secret_fields(route.returns) if field[1:] not in ECHOED] == []


def test_the_openapi_document_shows_the_mark() -> None:
    document = json.loads(openapi.document(api.ROUTES, version="0"))
    schemas = document["components"]["schemas"]
    assert schemas["StaticBearerIn"]["properties"]["token"]["writeOnly"] is True
    assert schemas["RepositoryParam"]["properties"]["authorization_token"]["writeOnly"] is True


# Refusals


PREFIX = "canary7f3a"
ODD = ["\u0000", "\ud800", "\n", "ü", "\\", '"', "\u202e"]


def spoilt(route: Route) -> list[bytes]:
    """Bodies of a route that hold canaries and are wrong in some way."""
    planter = Planter(PREFIX, dict.fromkeys(("agent", "environment_id", "initial_events"), "x"))
    found: list[bytes] = []
    for body in planter.bodies(route.body):
        text = json.dumps(body)
        whole = text.encode()
        canaries = [canary for canary in planter.planted if canary in text]
        found += [whole[: whole.index(canary.encode()) + len(canary)] for canary in canaries]  # cut short
        found += [
            whole + b"}",
            b"[" + whole + b"]",
            json.dumps(text).encode(),
            whole.replace(b'"', b"'"),
            b"\xff" + whole,
        ]
        found += [
            json.dumps({**body, "zzz": 1}).encode(),
            b"a=" + canaries[0].encode(),
            whole[:-1] + b',"zzz":' + whole + b"}",
        ]
        for canary in canaries:
            quoted = json.dumps(canary)
            for wrong in (
                f"[{quoted}]",
                f'{{"x": {quoted}}}',
                json.dumps(canary * 2000),
                f"{quoted}{quoted}",
                f"{quoted}: 1",
            ):
                found.append(text.replace(quoted, wrong).encode())
            for odd in ODD:
                found.append(text.replace(quoted, json.dumps(canary + odd)).encode())
            name = f'"{planter.planted[canary][-1]}": {quoted}'
            found.append(text.replace(name, f"{name}, {name}").encode())  # twice
    return found


@pytest.mark.parametrize("route", HOLDING, ids=lambda route: route.name)
def test_no_refusal_repeats_a_secret(still_api: Api, route: Route) -> None:
    path = re.sub(r"\{\w+\}", "x_01", route.path)
    statuses: set[int] = set()
    for raw in spoilt(route):
        for key in (None, still_api.settings.bootstrap_api_key):
            answer = still_api.run(still_api.call("POST", path, raw=raw, key=key))
            statuses.add(answer.status)
            assert PREFIX not in answer.raw.decode(), (answer.body, raw[:300])
            assert PREFIX not in str(answer.headers)
    assert statuses <= {400, 401, 404}
    assert 400 in statuses


def test_what_was_spoilt_does_hold_canaries() -> None:
    every: list[Any] = [raw for route in HOLDING for raw in spoilt(route)]
    assert len(every) > 100
    assert sum(PREFIX.encode() in raw for raw in every) > 0.9 * len(every)
