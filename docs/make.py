"""Writes the reference pages that follow from tables in the code: ``python docs/make.py`` (a law checks that they are current).

settings.md from the settings, api.md from the route table, api-coverage.md from the route table and the list below of
published routes that this version does not serve yet.
"""

import json
from pathlib import Path
from typing import Any, cast

from rota import api
from rota.base.clock import KeptClock
from rota.base.settings import describe
from rota.http import openapi, probes
from rota.http.route import Route
from rota.scheduler import turning

FOLDER = Path(__file__).parent
ROUTES: list[Route] = [
    *api.ROUTES,
    *turning.routes(cast("Any", None), KeptClock(0)),
    *probes.routes(lambda: ROUTES, version="", stopping=lambda: False),
]

NOT_YET = {
    "Organizations": ["POST /v1/organizations/workspaces/{workspace_id}/rate_limits/{rate_limit_id}"],
}

REMARKS = {
    "deployments.create": "Files and memory stores are not checked here, as hosted: `deployments check` shows early what a fire would find.",
    "deployments.run": "All sixteen run errors.",
    "deployments.check": "Ours: a dry run.",
    "deployment_runs.explain": "Ours.",
    "deployments.scheduling.retrieve": "An addition of ours; see [scheduling](scheduling.md).",
    "deployments.scheduling.update": "An addition of ours.",
    "deployments.occurrences.list": "An addition of ours.",
    "test_clock.retrieve": "Only with `--test-clock`; see [testing](testing.md).",
    "test_clock.set": "Only with `--test-clock`.",
    "test_clock.advance": "Only with `--test-clock`.",
    "sessions.create": "Events wait; the engine that turns sessions is not there yet.",
    "sessions.events.send": "Events are checked and kept in order; they wait for the engine.",
    "sessions.events.list": "",
    "environments.work.poll": "An empty queue answers `null`. See [self-hosted](self-hosted.md).",
    "environments.work.heartbeat": "A lease that is not the caller's: 412.",
    "environments.work.stop": "Of a session that got more to do meanwhile, a new item is queued at once (decision 43).",
    "sessions.events.stream": "See [streaming](streaming.md).",
    "sessions.stream": "The same, under the address that early clients use.",
    "files.list": "With `anthropic-beta: files-api-2025-04-14`, or beside `after_id` or `before_id`, in the older shape.",
    "files.download": "Only what an agent wrote. One `Range` is served.",
    "files.retrieve_metadata": "An expired file is shown for 30 days more; its content is 404 `file_expired` at once.",
    "vaults.credentials.mcp_oauth_validate": "Really asks the MCP server, and renews the token once if it must (decision 15); the hosted "
    "service was only ever seen to answer `valid`. Takes `static_bearer` credentials too.",
    "memory_stores.memories.list": "Newest first; with `depth=1` in path order. `view=full` gives at most 20 items a page.",
    "memory_stores.memories.update": "`PATCH` does the same.",
    "skills.create": "With `anthropic-beta: skills-2025-10-02` all of these routes take and give the older shapes (decision 19).",
    "skills.list": "Prebuilt skills can be named by agents; they are not listed, since their content is not here.",
    "organizations.rate_limits.list": "There are no Messages-API limits here: always empty.",
    "organizations.workspaces.rate_limits.list": "There are no Messages-API limits here: always empty.",
}


def settings_page() -> str:
    """settings.md."""
    lines = [
        "# Settings",
        "",
        (
            "A flag of `rota serve` beats the environment variable, which beats the default. Admin commands (`rota keys`, "
            "`rota workspaces`, `rota organizations`, `rota migrate`, `rota doctor`) read the same variables."
        ),
        "",
        "| variable | flag | kind | default | meaning |",
        "|---|---|---|---|---|",
    ]
    for each in describe():
        default = f"`{each.default}`" if each.default else ""
        lines.append(
            f"| `{each.variable}` | {f'`{each.flag}`' if each.flag else ''} | {each.kind} | {default} | {each.description} |"
        )
    lines += [
        "",
        "The API's commands (`rota deployments run …`) are clients: `ROTA_URL` (default `http://127.0.0.1:8700`) says where the "
        "server is and `ROTA_API_KEY` which key to send.",
        "",
    ]
    return "\n".join(lines)


def coverage_page() -> str:
    """api-coverage.md."""
    lines = [
        "# API coverage",
        "",
        "What this version serves of the published API, route by route. A route in the first table works as the contract says, "
        "for every field and status, with the remark beside it; one in the second answers 404.",
        "",
        "## Served",
        "",
        "| route | operation | remark |",
        "|---|---|---|",
    ]
    lines += [f"| `{route.method} {route.path}` | {route.name} | {REMARKS.get(route.name, '')} |" for route in ROUTES]
    lines += ["", "## Not yet", "", "| room | route |", "|---|---|"]
    lines += [f"| {room} | `{route}` |" for room, routes in NOT_YET.items() for route in routes]
    return "\n".join([*lines, ""])


def reference_page() -> str:
    """api.md."""
    document: dict[str, Any] = json.loads(openapi.document(ROUTES, version=""))
    schemas = document["components"]["schemas"]
    lines = [
        "# API reference",
        "",
        "Made from the route table, as is `GET /openapi.json`, which has every schema in full.",
        "",
    ]
    for route in ROUTES:
        operation = document["paths"][route.path][route.method.lower()]
        also = "".join(f" (also `{method}`)" for method in route.also)
        lines += [f"## {route.name}", "", f"`{route.method} {route.path}`{also}: {route.summary}.", ""]
        access = {
            "public": "No key needed.",
            "organization": "Workspace key or admin key.",
            "admin": "Admin key.",
            "workspace": "Workspace key.",
            "environment": "",
        }[route.access]
        workers = {"environment": "the environment's key", "session": "a sessions token"}
        if route.opens:
            keys = " or ".join(workers[each] for each in route.opens)
            access = f"{access} Also {keys}." if access else f"{keys[0].upper()}{keys[1:]}."
        lines += [access + (" Takes an `Idempotency-Key`." if route.creates else ""), ""]
        query = [each for each in operation["parameters"] if each["in"] == "query"]
        if query:
            lines += ["Query: " + ", ".join(f"`{each['name']}`" for each in query) + ".", ""]
        if route.body is not None:
            schema = schemas[route.body.__name__]
            required = set(schema.get("required", ()))
            names = (f"`{name}`" + (" (required)" if name in required else "") for name in schema["properties"])
            lines += ["Body: " + ", ".join(names) + ".", ""]
        lines += [f"Answers {_answer(operation)}.", ""]
    return "\n".join(lines)


def _answer(operation: dict[str, Any]) -> str:
    content = operation["responses"]["200"]["content"]
    if "text/event-stream" in content:
        return f"a stream of {_name(content['text/event-stream']['schema'])}"
    schema = content.get("application/json", {}).get("schema", {})
    first = schema.get("anyOf", [{}])[0]
    if "properties" in first:  # a page; callers of an old beta get another
        schema = first
    if "properties" in schema and "data" in schema["properties"]:
        return f"a page of {_name(schema['properties']['data']['items'])}"
    return _name(schema) if schema else "text"


def _name(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rsplit('/', 1)[-1]}`"
    if "anyOf" in schema:
        return " or ".join(_name(each) for each in schema["anyOf"])
    return schema.get("type", "JSON")


PAGES = {"settings.md": settings_page, "api-coverage.md": coverage_page, "api.md": reference_page}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
        print(f"wrote docs/{name}")
