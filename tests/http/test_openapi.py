"""The API's description of itself: a sound OpenAPI 3.1 document, and a true one."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from rota import api as table
from rota.http import openapi
from rota.http.route import Route
from rota.http.upload import file_fields
from tests.api import HELLO, Api
from tests.security.makers import THINGS, furnished

DOCUMENT: dict[str, Any] = json.loads(openapi.document(table.ROUTES, version="1.2.3"))
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
TYPES = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}
KEYWORDS = {
    "$ref", "additionalProperties", "anyOf", "const", "default", "description", "discriminator", "enum", "format", "items",
    "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minimum", "pattern", "prefixItems",
    "properties", "required", "title", "type", "writeOnly",
}  # fmt: skip
OPEN = {"Event"}
"""Events have more fields than the document lists, by their type; everything else is told in full."""
OPERATIONS = [
    (path, method, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]


def inside(node: Any, at: str = "#") -> Iterator[tuple[str, Any]]:
    """Every object of the document with its place."""
    if isinstance(node, dict):
        yield at, node
        for key, value in node.items():
            yield from inside(value, f"{at}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from inside(value, f"{at}/{index}")


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema, those inside others included."""
    waiting = [(f"#/components/schemas/{name}", schema) for name, schema in SCHEMAS.items()]
    waiting += [(at, node["schema"]) for at, node in inside(DOCUMENT["paths"]) if "schema" in node]
    while waiting:
        at, schema = waiting.pop()
        yield at, schema
        below = [*schema.get("anyOf", []), *schema.get("prefixItems", []), *schema.get("properties", {}).values()]
        below += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
        waiting += [(f"{at}/{index}", each) for index, each in enumerate(below)]


def resolve(reference: str) -> Any:
    node: Any = DOCUMENT
    assert reference.startswith("#/")
    for step in reference[2:].split("/"):
        node = node[step]
    return node


def misfits(value: Any, schema: dict[str, Any], at: str = "$") -> list[str]:
    """Where ``value`` is not what ``schema`` says; the subset of JSON Schema that the document uses."""
    if "$ref" in schema:
        return misfits(value, resolve(schema["$ref"]), at)
    if "anyOf" in schema:
        found = [misfits(value, each, at) for each in schema["anyOf"]]
        return [] if [] in found else min(found, key=len)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(
        isinstance(value, TYPES[kind]) and not (kind == "integer" and value is True) for kind in kinds
    ):
        return [f"{at}: {value!r} is no {kinds}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {value!r} is none of {schema['enum']}"]
    wrong: list[str] = []
    if isinstance(value, dict):
        known = schema.get("properties", {})
        wrong += [f"{at}.{name} is missing" for name in schema.get("required", []) if name not in value]
        extra = schema.get("additionalProperties", not known or schema.get("title") in OPEN)
        for name, item in value.items():
            if name in known:
                wrong += misfits(item, known[name], f"{at}.{name}")
            elif isinstance(extra, dict):
                wrong += misfits(item, extra, f"{at}.{name}")
            elif not extra:
                wrong.append(f"{at}.{name} is not in the schema")
    if isinstance(value, list) and "items" in schema:
        wrong += [each for index, item in enumerate(value) for each in misfits(item, schema["items"], f"{at}[{index}]")]
    return wrong


def test_the_document_is_served_to_anybody_and_says_what_it_is(sqlite_api: Api) -> None:
    response = sqlite_api.get("/openapi.json", key=None)
    served = response.ok()
    assert response.headers["content-type"] == "application/json"
    assert served["openapi"].startswith("3.1.")
    assert {"title", "version"} <= set(served["info"])
    assert set(DOCUMENT["paths"]) <= set(served["paths"])
    assert set(served) <= {"openapi", "info", "paths", "components", "servers", "tags", "security"}


def test_every_reference_leads_somewhere() -> None:
    found = [node["$ref"] for _, node in inside(DOCUMENT) if isinstance(node.get("$ref"), str)]
    assert len(found) > 100
    for reference in found:
        assert isinstance(resolve(reference), dict), reference
    for at, schema in schemas():
        for target in schema.get("discriminator", {}).get("mapping", {}).values():
            assert isinstance(resolve(target), dict), at
    used = {reference.rsplit("/", 1)[1] for reference in found}
    queries = {route.query.__name__ for route in table.ROUTES if route.query is not None}
    assert set(SCHEMAS) - used - queries == set()


def test_every_schema_is_sound() -> None:
    for at, schema in schemas():
        assert set(schema) <= KEYWORDS, at
        kinds = schema.get("type", [])
        assert set([kinds] if isinstance(kinds, str) else kinds) <= set(TYPES), at
        assert schema.get("enum", [0]), at
        assert len(set(map(str, schema.get("required", [])))) == len(schema.get("required", [])), at
        assert set(schema.get("required", [])) <= set(schema.get("properties", {})), at
        for low, high in (("minLength", "maxLength"), ("minItems", "maxItems"), ("minimum", "maximum")):
            assert schema.get(low, 0) <= schema.get(high, float("inf")), at
        if "pattern" in schema:
            re.compile(schema["pattern"])
        assert re.fullmatch(r"[A-Za-z0-9._*-]+", at.rsplit("/", 1)[1]), at


@pytest.mark.parametrize("route", table.ROUTES, ids=lambda route: route.name)
def test_every_operation_is_sound(route: Route) -> None:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    placed = [(parameter["in"], parameter["name"]) for parameter in operation["parameters"]]
    assert len(set(placed)) == len(placed)
    assert [name for where, name in placed if where == "path"] == re.findall(r"{(\w+)}", route.path)
    for parameter in operation["parameters"]:
        assert parameter["in"] in ("path", "query", "header")
        assert parameter["schema"]
        assert parameter.get("required") is (True if parameter["in"] == "path" else None)
    assert all(re.fullmatch(r"[1-5]\d\d", status) for status in operation["responses"])
    assert all(response["description"] for response in operation["responses"].values())
    assert ("requestBody" in operation) == (route.body is not None or route.upload is not None)
    for each in operation["security"]:
        assert set(each) <= set(DOCUMENT["components"]["securitySchemes"])
    if route.upload is not None:
        assert route.method == "POST"
        form = resolve(operation["requestBody"]["content"]["multipart/form-data"]["schema"]["$ref"])
        files = [
            each.get("items", each) for name, each in form["properties"].items() if name in file_fields(route.upload)
        ]
        assert files
        assert all(each["format"] == "binary" for each in files)
    if route.body is not None:
        assert route.method == "POST"
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        assert resolve(body["$ref"])["additionalProperties"] is False


def test_operation_ids_are_unique() -> None:
    found = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(found)) == len(found)


def test_what_is_served_is_what_the_document_says(sqlite_api: Api) -> None:
    agent = sqlite_api.agent(metadata={"k": "v"})
    environment = sqlite_api.environment(config={"type": "cloud", "networking": {"type": "limited"}})
    deployment = sqlite_api.deployment(
        agent=agent["id"],
        environment_id=environment["id"],
        resources=[{"type": "github_repository", "url": "https://github.com/a/b"}],
        schedule={"type": "cron", "expression": "0 9 * * *", "timezone": "UTC"},
        initial_events=[*HELLO, {"type": "system.message", "content": [{"type": "text", "text": "Hush."}]}],
    )
    session = sqlite_api.fire(deployment)["session_id"]
    failing = sqlite_api.deployment(resources=[{"type": "file", "file_id": "file_01x"}])
    run = sqlite_api.fire(failing)
    sqlite_api.post(f"/v1/deployments/{failing['id']}/pause").ok()
    home = furnished(sqlite_api)
    own = {"agent_id": agent["id"], "environment_id": environment["id"], "deployment_id": deployment["id"],
           "deployment_run_id": run["id"], "session_id": session}  # fmt: skip
    checked = 0
    for path, method, operation in OPERATIONS:
        if method == "get":
            content = operation["responses"]["200"]["content"]
            if "application/json" not in content:
                continue
            names = re.findall(r"{(\w+)}", path)
            made = home.params(names[-1].removesuffix("_id")) if names else {}
            params = made if len(names) > 1 else made | {name: own[name] for name in names if name in own}
            [route] = [each for each in table.ROUTES if (each.method, each.path) == ("GET", path)] or [None]
            if route is not None and route.name in THINGS:
                params = home.params_for(route)
            body = (sqlite_api.get(path) if route is None else home.ask(route, params)).ok()
            schema = content["application/json"]["schema"]
            assert misfits(body, schema) == [], path
            checked += 1
    assert checked >= 20
    refused = sqlite_api.get("/v1/agents/x")
    assert (
        misfits(
            refused.body,
            DOCUMENT["paths"]["/v1/agents"]["get"]["responses"]["400"]["content"]["application/json"]["schema"],
        )
        == []
    )
