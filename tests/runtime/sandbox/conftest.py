"""Where bubblewrap cannot work, its tests are skipped, and say what ``check`` says. Tests here are async."""

import asyncio
import inspect
from pathlib import Path

import pytest

from tests.runtime.sandbox.boxes import why_none


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder for a session's folders; skips where there can be no boxes."""
    reason = why_none()
    if reason is not None:
        pytest.skip(reason)
    return tmp_path


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    asyncio.run(pyfuncitem.obj(**given))
    return True
