"""Which of the vendor's test files are about what we serve.

Promises: a family's paths are globs, so that what a version does not have yet is no error; a test is left out only by the
name of its function, and only for what this server does not have yet. Used by the plug-in too, so it needs nothing but
the standard library.
"""

import re
from pathlib import Path

FAMILIES: dict[str, tuple[str, ...]] = {
    "agents": ("beta/test_agents.py", "beta/agents/*.py"),
    "deployments": ("beta/test_deployments.py",),
    "deployment_runs": ("beta/test_deployment_runs.py",),
    "environments": ("beta/test_environments.py",),
    "files": ("test_files.py", "beta/test_files.py"),
    "memory_stores": ("beta/test_memory_stores.py", "beta/memory_stores/*.py"),
    "organizations": (
        "test_organization.py",
        "organization/test_workspaces.py",
        "organization/test_api_keys.py",
        "organization/test_rate_limits.py",
        "organization/workspaces/test_rate_limits.py",
        "beta/test_organization.py",
        "beta/organization/test_workspaces.py",
        "beta/organization/test_api_keys.py",
        "beta/organization/test_rate_limits.py",
        "beta/organization/workspaces/test_rate_limits.py",
    ),
    "sessions": ("beta/test_sessions.py", "beta/sessions/**/*.py"),
    "skills": ("test_skills.py", "skills/*.py", "beta/test_skills.py", "beta/skills/*.py"),
    "webhooks": ("beta/organization/test_webhooks.py",),
    "vaults": ("beta/test_vaults.py", "beta/vaults/*.py"),
    "work": ("beta/environments/*.py",),
}
"""By the noun in the URL; the paths are below ``tests/api_resources``."""

_WORKSPACE = "/v1/organizations/workspaces/{workspace_id}"
NOT_YET = {
    f"POST {_WORKSPACE}/rate_limits/{{rate_limit_id}}": r"/test_rate_limits.py::test_(?!path)\w+_update",
}
"""Routes that are not served yet, and the tests that wait for them. A run fails once one of them is served.
(``test_streaming_response_list`` is about how the client reads, and waits for nothing.)"""


ADMIN = frozenset({"organizations", "webhooks"})
"""Families that an admin key opens; all others are a workspace key's."""
ENVIRONMENT = "env_011CZkZ9X2dpNyB7HsEFoRfW"
"""Whose work the suites know."""
_BY_WORKERS = re.compile(r"/environments/test_work.py::test_\w+_(poll|ack|heartbeat)(_with_all_params)?$")


def scope_of(test: str) -> str:
    """What the key must open that a test's client carries."""
    if _BY_WORKERS.search(plain(test)):
        return "environment"
    return "admin" if family_of(test) in ADMIN else "workspace"


def work_for(test: str) -> str:
    """The state in which a test needs its item of work; empty for tests that are about none."""
    if family_of(test) != "work":
        return ""
    return "starting" if "_heartbeat" in test else "queued"


def paths(folder: Path, family: str) -> list[Path]:
    """The test files of a family in an unpacked suite."""
    root = folder / "tests" / "api_resources"
    found = {path for glob in FAMILIES[family] for path in root.glob(glob) if path.name.startswith("test_")}
    return sorted(path.relative_to(folder) for path in found)


def family_of(test: str) -> str:
    """The family of a test, by its node id."""
    path = Path(test.partition("::")[0]).relative_to("tests/api_resources")
    for family, globs in FAMILIES.items():
        if any(_matches(path, glob) for glob in globs):
            return family
    raise ValueError(f"{test} belongs to no family")


def plain(test: str) -> str:
    """A node id without its class and its parameters: path and function."""
    return re.sub(r"::(?:\w+::)?(\w+)(?:\[.*)?$", r"::\1", test)


def is_not_yet(test: str) -> bool:
    """Whether a test waits for its route, by its node id."""
    return any(re.search(f"{pattern}$", plain(test)) for pattern in NOT_YET.values())


def _matches(path: Path, glob: str) -> bool:
    head, deep, _ = glob.partition("**/")
    return str(path).startswith(head) if deep else path.parent == Path(glob).parent and path.match(glob)
