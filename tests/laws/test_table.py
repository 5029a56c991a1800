"""What the route table and the error classes promise about each other."""

import json
import runpy
from pathlib import Path
from typing import Any, cast

import pytest

from rota import api
from rota.base import errors
from rota.base.clock import KeptClock
from rota.base.settings import describe
from rota.http import openapi, probes
from rota.http.route import Route
from rota.resources.deployment_runs.wire import ErrorType
from rota.scheduler import turning

ROOT = Path(__file__).parents[2]
ROUTES: list[Route] = [
    *probes.routes(lambda: ROUTES, version="0", stopping=lambda: False),
    *api.ROUTES,
    *turning.routes(cast("Any", None), KeptClock(0)),
]
IDS = [f"{route.method} {route.path}" for route in ROUTES]


def refusals(base: type = errors.Refusal) -> list[type]:
    found = [base]
    for below in base.__subclasses__():
        found += refusals(below)
    return found


def test_names_and_addresses_are_unique() -> None:
    assert len({route.name for route in ROUTES}) == len(ROUTES)
    addresses = [(method, route.path) for route in ROUTES for method in (route.method, *route.also)]
    assert len(set(addresses)) == len(addresses)


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
def test_a_route_is_in_the_openapi_document(route: Route) -> None:
    document = json.loads(openapi.document(ROUTES, version="0"))
    operation = document["paths"][route.path][route.method.lower()]
    assert operation["operationId"] == route.name
    assert operation["summary"]
    assert operation["responses"]["200"]["content"]
    names = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
    assert names == set(route.parameters)
    for method in route.also:
        other = document["paths"][route.path][method.lower()]
        assert other == operation | {"operationId": other["operationId"]}


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
def test_a_route_is_in_the_coverage_table(route: Route) -> None:
    text = (ROOT / "docs" / "api-coverage.md").read_text()
    assert f"`{route.method} {route.path}`" in text


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
def test_what_changes_something_is_refused_where_only_reading_is_allowed(route: Route) -> None:
    changes = route.method in ("POST", "DELETE")
    assert route.writes == (changes and route.name != "deployments.run"), route.name


@pytest.mark.parametrize("route", [route for route in ROUTES if route.paged], ids=lambda route: route.name)
def test_a_list_has_a_bounded_page(route: Route) -> None:
    assert route.query is not None
    schema = json.loads(openapi.document([route], version="0"))["paths"][route.path]["get"]["parameters"]
    limit = next(parameter["schema"] for parameter in schema if parameter["name"] == "limit")
    [bounds] = [each for each in limit.get("anyOf", [limit]) if each["type"] == "integer"]
    assert bounds["minimum"] == 1
    assert bounds["maximum"] in (100, 1000)


def test_a_status_has_one_type_but_for_the_documented_ones() -> None:
    kinds = {(each.status, each.type) for each in refusals()}  # type: ignore[attr-defined]
    assert kinds == {
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (409, "invalid_request_error"),
        (409, "memory_path_conflict_error"),
        (409, "memory_precondition_failed_error"),
        (412, "invalid_request_error"),
        (413, "request_too_large"),
        (416, "invalid_request_error"),
        (429, "rate_limit_error"),
    }


def test_there_are_sixteen_run_errors() -> None:
    assert len(ErrorType.__args__) == 16  # type: ignore[attr-defined]


def test_the_reference_pages_are_current() -> None:
    found = runpy.run_path(str(ROOT / "docs" / "make.py"))
    for name, page in found["PAGES"].items():
        assert (ROOT / "docs" / name).read_text() == page(), f"docs/{name} is out of date: run python docs/make.py"


@pytest.mark.parametrize("setting", describe(), ids=lambda setting: setting.name)
def test_a_setting_is_in_the_reference(setting: object) -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    for word in (setting.variable, setting.flag, setting.description):  # type: ignore[attr-defined]
        assert word in text
