"""The test suite of the official client at several versions, each in an environment that can run it, made on first use.

Promises: the suite is the one in the source package of that very version, as the package registry has it, with not a byte
changed; it runs against the installed client, not against the sources beside it. Nothing of it is kept in this repository:
the environments are below ``.venv-sdk``.
"""

import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.acceptance import sdks

VERSIONS = ("0.121.0", "1.17.0", "2.12.0")
"""The oldest client that knows deployments as we serve them, the last one with a key header, and a new one."""

_NEEDS = ("dirty-equals==0.11", "http-snapshot[httpx]==0.1.9", "inline-snapshot==0.36.1", "pytest==9.2.0",
          "pytest-asyncio==1.5.0", "pytest-xdist==3.8.0", "respx==0.23.1")  # fmt: skip
_PARTS = ("tests/", "examples/")


class Suite(NamedTuple):
    """One version's suite. ``folder`` is what its tests take for the root of their repository."""

    version: str
    python: Path
    folder: Path


def suite(version: str) -> Suite:
    """The suite of a version of the client; making it takes a minute or so the first time."""
    place = sdks.made(
        f"suite-{version}", f"anthropic[aiohttp]=={version}", *_NEEDS, finish=lambda place: _unpack(place, version)
    )
    return Suite(version, place / "bin" / "python", place / "suite")


def _unpack(place: Path, version: str) -> None:
    with tempfile.TemporaryDirectory(dir=place) as folder:
        wanted = ["--no-deps", "--no-binary", "anthropic", "--dest", folder, f"anthropic=={version}"]
        sdks.pip(place / "bin" / "python", "download", *wanted)
        [archive] = Path(folder).glob("anthropic-*.tar.gz")
        with tarfile.open(archive) as tar:
            root = f"anthropic-{version}/"
            for member in tar.getmembers():
                member.name = member.name.removeprefix(root)
                if member.name.startswith(_PARTS) or member.name == "pyproject.toml":
                    tar.extract(member, place / "suite", filter="data")
