"""Nothing that is tried in a box gets out of it: with a server that is root, and with one that is not.

The attempts are in ``attempts`` and ``escapes``; ``python -m tests.runtime.sandbox.escapes`` prints what came of each.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.runtime.sandbox.escapes import everything, succeeded

ROOT = Path(__file__).parents[3]
NOBODY = 65534


async def test_nothing_gets_out(place: Path) -> None:
    found = await everything(place)
    assert len(found) > 120
    assert not succeeded(found)


def interpreter(user: int) -> list[str]:
    """A Python of this version that another user can start, and what it needs to find the same packages."""
    for python in (
        sys.executable,
        f"/usr/bin/python3.{sys.version_info.minor}",
        f"/usr/local/bin/python3.{sys.version_info.minor}",
    ):
        if Path(python).exists():
            trial = subprocess.run(
                [python, "-c", ""], user=user, group=user, extra_groups=[], capture_output=True, check=False, cwd="/"
            )
            if trial.returncode == 0:
                return [python]
    pytest.skip("no Python of this version can be started by another user")


@pytest.mark.skipif(os.geteuid() != 0, reason="this server is not root anyway, so the test above is this one")
def test_nothing_gets_out_of_a_server_that_is_not_root(place: Path) -> None:
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    with tempfile.TemporaryDirectory() as home:
        shutil.chown(home, NOBODY, NOBODY)
        done = subprocess.run(
            [*interpreter(NOBODY), "-m", "tests.runtime.sandbox.escapes"],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd=ROOT,
            env={
                "PYTHONPATH": f"{ROOT}:{packages}",
                "PATH": os.defpath,
                "HOME": home,
                "TMPDIR": home,
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout
    assert summary["user"] == NOBODY
    assert summary["attempts"] > 120
    assert summary["succeeded"] == 0
