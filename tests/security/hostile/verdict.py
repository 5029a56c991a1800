"""Whether a response is one that may be given: its status, its envelope, and its body against our own OpenAPI document."""

import json
import re
from typing import Any

import jsonschema_rs

from rota.http import openapi
from rota.http.route import Route, Router
from tests.security.hostile.connection import Response

KINDS = {
    400: {"invalid_request_error"},
    401: {"authentication_error"},
    403: {"permission_error"},
    404: {"not_found_error"},
    405: {"invalid_request_error"},
    409: {"invalid_request_error", "conflict_error", "memory_path_conflict_error", "memory_precondition_failed_error"},
    412: {"invalid_request_error"},
    413: {"request_too_large"},
    416: {"invalid_request_error"},
    429: {"rate_limit_error"},
}
"""The statuses of refusals, and the types that each may have."""
_REQUEST_ID = re.compile(r"req_01[0-9A-HJ-Za-z]{22}")


class Judge:
    """Knows every operation's response schema."""

    def __init__(self, routes: list[Route]) -> None:
        self.router = Router(routes)
        document: dict[str, Any] = json.loads(openapi.document(routes, version="0"))
        self._validators: dict[str, tuple[str, Any]] = {}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                [(kind, content)] = operation["responses"]["200"]["content"].items()
                schema = {**content["schema"], "components": document["components"]}
                validator = jsonschema_rs.validator_for(schema) if kind == "application/json" else None
                self._validators[f"{method.upper()} {path}"] = kind, validator

    def problems(self, route: Route | None, response: Response, *, method: str = "") -> list[str]:
        """What is wrong with a response; ``route`` is None where the request met no route."""
        found: list[str] = []
        if not _REQUEST_ID.fullmatch(response.headers.get("request-id", "")):
            found.append("no request id")
        if response.status >= 500:
            found.append(f"status {response.status}")
        if response.cut or method == "HEAD":
            return found
        if response.status >= 400:
            return found + self._envelope(response)
        kind, validator = self._validators[f"{route.method} {route.path}"] if route is not None else ("", None)
        if response.status != 200 and not (response.status == 206 and kind == "*/*"):
            found.append(f"status {response.status}")
        elif route is not None:
            if kind not in ("*/*", response.headers.get("content-type", "").partition(";")[0]):
                found.append(f"content-type {response.headers.get('content-type')} instead of {kind}")
            elif validator is not None:
                found += [
                    f"{'/'.join(map(str, error.instance_path))}: {error.message[:300]}"
                    for error in validator.iter_errors(json.loads(response.raw))
                ]
        return found

    def _envelope(self, response: Response) -> list[str]:
        try:
            body = response.body
        except ValueError:
            return [f"an error that is not JSON: {response.raw[:200]!r}"]
        wrong: list[str] = []
        if not isinstance(body, dict) or set(body) != {"type", "error", "request_id"} or body["type"] != "error":
            return [f"no envelope: {response.raw[:200]!r}"]
        error = body["error"]
        if body["request_id"] != response.headers.get("request-id"):
            wrong.append("another request id in the body than in the header")
        if not {"type", "message"} <= set(error) or not isinstance(error["message"], str) or not error["message"]:
            wrong.append(f"an error without a type or a message: {error}")
        elif response.status < 500 and error["type"] not in KINDS.get(response.status, set()):
            wrong.append(f"status {response.status} with {error['type']}")
        if response.headers.get("content-type") != "application/json":
            wrong.append(f"content-type {response.headers.get('content-type')}")
        return wrong
