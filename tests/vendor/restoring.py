"""A plug-in for the vendor's pytest: before each test the server's database holds the seed again, and nothing else.

Loaded with ``-p restoring`` into an environment that has nothing of ours, so it uses the standard library, pytest and the
client alone. Each test process has a server of its own, described by the JSON in ``SUITE_SERVER``.

Promises: the suite's files stay as they are, and so does every request but those that ``exceptions`` names; tests that
their authors skip because of their mock server do run; what was collected, what was begun and what came of it, with the
exception that ended a test, are lines of JSON in the file ``SUITE_REPORT``, each there as soon as it is true.
"""

import copy
import json
import os
import re
from collections.abc import Callable, Generator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import exceptions
import families
import pytest
from anthropic import APIStatusError
from anthropic._base_client import AsyncAPIClient, SyncAPIClient
from ground import Ground

_MOCKS = re.compile(r"prism|buildURL drops|hitting prod")
"""Reasons for a skip that are about the vendor's mock server."""
_MOCKED = "aiohttp client is not compatible with respx_mock"
"""Reason for a skip where a response is made up on the spot. Not where ``_is_real`` says otherwise."""

_VERSION = version("anthropic")


class Walk:
    """One test's way through the steps of its exception; most tests have none."""

    def __init__(self, test: str) -> None:
        self._left = list(exceptions.steps_of(families.plain(test), _VERSION))
        self.done: list[str] = []
        self.asked = False

    @property
    def undone(self) -> list[str]:
        """Reasons that nothing has borne out so far."""
        return [step.reason for step in self._left]

    def cured(self, options: Any, error: APIStatusError) -> Any:
        """The request with the next value cured, if the error is the one that this value must meet; else None."""
        if not self._left or self._left[0].cure is None or not re.search(self._left[0].refusal, str(error)):
            return None
        step = self._left.pop(0)
        body = copy.deepcopy(options.json_data)
        files = list(options.files or ())
        query = dict(options.params or {})
        request = exceptions.Request(options.url, query, body if isinstance(body, dict) else {}, files)
        step.cure(request)
        self.done.append(step.reason)
        body = request.body if isinstance(body, dict) else body
        changed = {"url": request.path, "params": request.query, "json_data": body, "files": files or None}
        return options.model_copy(update=changed)

    def end(self, why: str) -> bool:
        """Whether a test that ends with this error has done so by its last step."""
        if [step.cure for step in self._left] != [None] or not re.search(self._left[0].refusal, why):
            return False
        self.done.append(self._left.pop().reason)
        return True


_server: dict[str, str] = json.loads(os.environ["SUITE_SERVER"])
os.environ["TEST_API_BASE_URL"] = _server["url"]  # the suite reads it when its modules are imported
_ground: Ground | None = None
_walk = Walk("")


def pytest_configure() -> None:
    """Stand between the tests and the client's one door."""
    ask, ask_async = SyncAPIClient.request, AsyncAPIClient.request

    def request(self: Any, cast_to: Any, options: Any, **more: Any) -> Any:
        _walk.asked = True
        while True:
            try:
                return ask(self, cast_to, options, **more)
            except APIStatusError as error:
                if (cured := _walk.cured(options, error)) is None:
                    raise
                options = cured

    async def request_async(self: Any, cast_to: Any, options: Any, **more: Any) -> Any:
        _walk.asked = True
        while True:
            try:
                return await ask_async(self, cast_to, options, **more)
            except APIStatusError as error:
                if (cured := _walk.cured(options, error)) is None:
                    raise
                options = cured

    SyncAPIClient.request = request
    AsyncAPIClient.request = request_async


@pytest.hookimpl(trylast=True)  # after the suite's own conftest, which adds skips
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is skipped for the mock's sake only; skip what is about routes that are not there yet."""
    for item in items:
        item.own_markers[:] = [
            mark
            for mark in item.own_markers
            if not (mark.name == "skip" and _is_needless(item, mark.kwargs.get("reason", "")))
        ]
        if families.is_not_yet(item.nodeid):
            item.add_marker(pytest.mark.skip(reason="not served yet"))


def _is_needless(item: pytest.Item, reason: str) -> bool:
    return _MOCKS.search(reason) is not None or (reason == _MOCKED and _is_real(item))


def _is_real(item: pytest.Item) -> bool:
    """Whether a test whose response is made up gets a real one: a file's download, since the seed's holds what they expect."""
    return families.family_of(item.nodeid) == "files"


class _Unmocked:
    """Takes every instruction to make something up, and does not follow it."""

    def __getattr__(self, _: str) -> "Callable[..., _Unmocked]":
        return lambda *_, **__: self


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Function) -> None:
    """Let real responses through where there can be real ones."""
    router = item.funcargs.get("respx_mock")
    if router is not None and _is_real(item):
        router.stop(quiet=True)
        item.funcargs["respx_mock"] = _Unmocked()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Bring the seed back."""
    global _ground, _walk
    if _ground is None:
        _ground = Ground(**{name: _server[name] for name in ("database", "seed", "key")})
    _ground.restore(
        scope=families.scope_of(item.nodeid), work=families.work_for(item.nodeid), environment=families.ENVIRONMENT
    )
    _walk = Walk(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what ended a test, in full, and which exceptions it needed."""
    report = yield
    if call.excinfo is not None:
        why = f"{call.excinfo.typename}: {call.excinfo.value}"[:4000]
        report.user_properties += [("why", why), ("foreseen", _walk.end(why))]
    report.user_properties += [("done", _walk.done), ("undone", _walk.undone)]
    mocked = "respx_mock" in item.fixturenames and not _is_real(item)
    report.user_properties += [("asked", _walk.asked), ("mocked", mocked)]
    return report


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write down what was collected."""
    _write({"collected": [item.nodeid for item in session.items]})


def pytest_runtest_logstart(nodeid: str) -> None:
    """Write down that a test begins, so that one that ends its process is known."""
    _write({"begun": nodeid})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write an outcome down."""
    if report.when == "call" or report.outcome != "passed":
        _write({"why": "", **dict(report.user_properties), "test": report.nodeid, "outcome": report.outcome})


def _write(line: dict[str, Any]) -> None:
    with Path(os.environ["SUITE_REPORT"]).open("a") as file:
        file.write(json.dumps(line) + "\n")
