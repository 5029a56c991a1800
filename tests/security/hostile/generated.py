"""Requests that Schemathesis makes of our own OpenAPI document, and that Hypothesis makes of the Structs.

Both are drawn on in full before they are sent, because a generator that waits for answers cannot be one of theirs; ids of
things that exist are put in at the moment of sending.
"""

import json
import warnings
from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from rota.http import openapi
from rota.http.route import Route
from tests.forms import Field, encode
from tests.security.hostile.connection import request
from tests.security.hostile.mutants import Mutant
from tests.security.hostile.pool import Pool
from tests.security.makers import ROUTES, Home, Params, noun_of

QUIET = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
BATCH = 8
"""Cases that are drawn at a time of each operation."""


def from_schemathesis(count: int, number: int, pool: Pool, home: Home) -> Iterator[Mutant]:
    """So many cases, good ones and bad ones in turn, of all operations."""
    document: dict[str, Any] = json.loads(openapi.document(ROUTES, version="0"))
    routes = {f"{method} {route.path}": route for route in ROUTES for method in (route.method, *route.also)}
    random, made, round_ = Random(number), 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        operations = [found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()]
        while made < count:
            for operation in operations:
                mode = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)[round_ % 2]
                for case in _drawn(
                    operation.as_strategy(generation_mode=mode), number + round_, min(BATCH, count - made)
                ):
                    made += 1
                    yield _from_case(case, routes[operation.label], random, pool, home)
                if made >= count:
                    break
            round_ += 1


def _drawn(strategy: st.SearchStrategy[Any], number: int, count: int) -> list[Any]:
    """Examples of a strategy."""
    found: list[Any] = []

    @seed(number)
    @settings(QUIET, max_examples=count)
    @given(example=strategy)
    def draw(example: Any) -> None:
        found.append(example)

    draw()
    return found[:count]


def _from_case(case: Any, route: Route, random: Random, pool: Pool, home: Home) -> Mutant:
    params = {name: str(value) for name, value in (case.path_parameters or {}).items()}
    if random.random() < 0.85:
        params |= _live(route, pool)
    query = urlencode(
        [(n, _text(v)) for n, vs in (case.query or {}).items() for v in (vs if isinstance(vs, list) else [vs])]
    )
    target = _target(route, params) + (f"?{query}" if query else "")
    headers = {str(name).lower(): str(value) for name, value in dict(case.headers or {}).items()}
    headers = {
        name: _line(value)
        for name, value in headers.items()
        if name not in ("content-length", "transfer-encoding", "host")
    }
    headers |= {"x-api-key": home.key_for(route)} | home.headers(route)
    body: bytes | None = None
    if route.body is not None:
        given_body = case.body
        body = (
            b""
            if not isinstance(given_body, dict | list | str | int | float | bool | None)
            else json.dumps(_with_live(given_body, random, pool)).encode()
        )
        headers["content-type"] = "application/json"
    elif route.upload is not None:
        body, headers["content-type"] = _form(case.body)
    return Mutant(case.method, target.encode(), request(case.method, target, headers, body), route, params)


def _form(fields: Any) -> tuple[bytes, str]:
    """A form of whatever was drawn."""
    found: list[Field] = []
    for name, value in fields.items() if isinstance(fields, dict) else [("file", fields)]:
        for each in value if isinstance(value, list) else [value]:
            content = each if isinstance(each, bytes) else _text(each)
            found.append(
                Field(_line(str(name)).replace('"', ""), content, "a.txt" if isinstance(each, bytes) else None)
            )
    return encode(found)


def _with_live(body: Any, random: Random, pool: Pool) -> Any:
    """The body with ids of real things where the names ask for them."""
    if isinstance(body, list):
        return [_with_live(each, random, pool) for each in body]
    if not isinstance(body, dict):
        return body
    found = {key: _with_live(value, random, pool) for key, value in body.items()}
    for key, value in body.items():
        noun = str(key).removesuffix("_id").removesuffix("_ids")
        live = pool.id(noun)
        if live is not None and random.random() < 0.9 and (isinstance(value, str) or key.endswith("_ids")):
            found[key] = [live] if key.endswith("_ids") else live
    return found


def from_hypothesis(count: int, number: int, pool: Pool, home: Home) -> Iterator[Mutant]:
    """So many JSON bodies of any shape, to every route that takes one; half of a good body's fields are kept."""
    posts = [route for route in ROUTES if route.body is not None]
    words = sorted({name for route in posts for name in route.body.__struct_encode_fields__})  # type: ignore[union-attr]
    names = st.sampled_from([*words, "type", "id", "content", "text"]) | st.text(st.characters(), max_size=5)
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
    anything = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5), max_leaves=25
    )
    random, made, round_ = Random(number), 0, 0
    while made < count:
        for route in posts:
            fields = st.sampled_from(route.body.__struct_encode_fields__)  # type: ignore[union-attr]
            bodies = st.dictionaries(fields | names, anything, max_size=4) | anything
            for drawn in _drawn(bodies, number + round_, min(BATCH, count - made)):
                made += 1
                yield _of(route, drawn, random, pool, home)
            if made >= count:
                break
        round_ += 1


def _of(route: Route, drawn: Any, random: Random, pool: Pool, home: Home) -> Mutant:
    params = _live(route, pool)
    if isinstance(drawn, dict):
        good = json.loads(home.body(route).raw or b"{}")
        drawn = {**drawn, **{name: value for name, value in good.items() if random.random() < 0.6}}
    target = _target(route, params)
    headers = {"x-api-key": home.key_for(route), "content-type": "application/json"} | home.headers(route)
    body = json.dumps(drawn).encode()
    return Mutant(route.method, target.encode(), request(route.method, target, headers, body), route, params)


def _live(route: Route, pool: Pool) -> Params:
    found = (pool.path(noun_of(route.parameters[-1])) or {}) if route.parameters else {}
    return {name: found.get(name, "nothing") for name in route.parameters}


def _target(route: Route, params: Params) -> str:
    parts = [
        quote(params[part[1:-1]].encode("utf-8", "surrogatepass"), safe="") if part.startswith("{") else part
        for part in route.path.split("/")
    ]
    return "/".join(parts)


def _text(value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


def _line(value: str) -> str:
    return (
        value.encode("utf-8", "replace").decode("latin-1").replace("\r", "").replace("\n", "").replace("\0", "")[:8_000]
    )
