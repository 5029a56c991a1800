"""The OpenAPI 3.1 document, made from the route table.

Promises: every route is in it, with its parameters, body, responses and errors, because there is no second list to forget
it in. Schemas are those of the very Structs that decode and encode.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from rota.http.route import Route
from rota.http.upload import file_fields

_ERROR_STATUSES = {
    "400": "The request's shape, a limit or a state forbids it",
    "401": "No credential, or one that is not valid",
    "404": "Not found in this workspace",
    "429": "Over a rate limit",
    "500": "A fault of the server",
    "503": "The database is not available",
}


_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}


class ErrorBody(msgspec.Struct):
    """What went wrong."""

    type: str
    message: str
    details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    conflicting_path: str | msgspec.UnsetType = msgspec.UNSET
    conflicting_memory_id: str | msgspec.UnsetType = msgspec.UNSET


class ErrorResponse(msgspec.Struct, tag="error", tag_field="type"):
    """The envelope of every error."""

    error: ErrorBody
    request_id: str


def document(routes: Sequence[Route], *, version: str) -> bytes:
    """The document as JSON bytes."""
    kinds = _kinds(routes)
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(map(id, kinds), schemas, strict=True))
    schema_of[id(bytes)] = _BINARY
    for route in routes:
        if route.upload is not None:
            _show_files(components[route.upload.__name__], file_fields(route.upload))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route, schema_of, components)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
        for method in route.also:
            paths[route.path][method.lower()] = operation | {"operationId": f"{route.name}.{method.lower()}"}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "rota",
                "version": version,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                    "bearer": {"type": "http", "scheme": "bearer"},
                },
            },
        }
    )


def _kinds(routes: Sequence[Route]) -> list[Any]:
    kinds: list[Any] = [ErrorResponse]
    for route in routes:
        for kind in (route.body, route.upload, route.query, route.returns, route.dated):
            if kind is not None and kind is not bytes and not any(kind is known for known in kinds):
                kinds.append(kind)
    return kinds


def _show_files(schema: dict[str, Any], files: dict[str, bool]) -> None:
    """Files in a form are bytes as they are, not the base64 that JSON would need."""
    for name, many in files.items():
        told = {key: value for key, value in schema["properties"][name].items() if key in ("description", "minItems")}
        schema["properties"][name] = {**({"type": "array", "items": _BINARY} if many else _BINARY), **told}


def _operation(route: Route, schema_of: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    schema = schema_of[id(route.returns)]
    if route.paged:
        schema = {
            "type": "object",
            "required": ["data", "next_page"],
            "properties": {
                "data": {"type": "array", "items": schema},
                "next_page": {"type": ["string", "null"]},
                **({"prev_page": {"type": ["string", "null"]}} if getattr(route.query, "TWO_WAY", False) else {}),
                **{name: {"type": "array", "items": {"type": "string"}} for name in route.beside},
            },
        }
    if route.dated is not None:
        schema = {"anyOf": [schema, schema_of[id(route.dated)]]}
    kind = {str: "text/plain", bytes: "*/*"}.get(route.returns, "application/json")
    if route.streams:
        kind = "text/event-stream"
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.name.split(".")[0]],
        "parameters": _parameters(route, components),
        "responses": {"200": {"description": "Done", "content": {kind: {"schema": schema}}}, **_errors(route)},
        "security": [] if route.access == "public" else [{"key": []}, {"bearer": []}],
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[id(route.body)]}},
        }
    if route.upload is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": {"schema": schema_of[id(route.upload)]}},
        }
    return operation


def _parameters(route: Route, components: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.parameters
    ]
    if route.query is not None:
        properties: dict[str, Any] = components[route.query.__name__]["properties"]
        found += [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]
    if route.creates:
        found.append({"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 255}})
    return found


def _errors(route: Route) -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/ErrorResponse"}
    statuses = dict(_ERROR_STATUSES)
    if route.access == "public":
        statuses = {"503": statuses["503"]}
    if route.body is not None or route.upload is not None or route.method == "DELETE":
        statuses |= {"409": "Lost against another change"}
    if route.body is not None or route.upload is not None:
        statuses |= {"413": f"The body is over {route.max_body >> 20} MB"}
    return {
        status: {"description": text, "content": {"application/json": {"schema": reference}}}
        for status, text in sorted(statuses.items())
    }
