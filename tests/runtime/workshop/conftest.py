"""A scene for each test; where there can be no boxes, its tests are skipped."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from rota.runtime.sandbox import SandboxFailure
from tests.api import Api
from tests.runtime.workshop.scene import Scene


@pytest.fixture
def scene(api: Api) -> Iterator[Scene]:
    """A workshop on each kind of database."""
    yield from _scene(api)


@pytest.fixture
def sqlite_scene(sqlite_api: Api) -> Iterator[Scene]:
    """The same on SQLite only."""
    yield from _scene(sqlite_api)


def _scene(api: Api) -> Iterator[Scene]:
    try:
        made = Scene(api)
    except SandboxFailure as exc:
        pytest.skip(str(exc))
    yield made
    with suppress(SandboxFailure):
        made.close()
