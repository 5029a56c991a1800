"""What the decisions promise about the checkout, as far as a machine can see it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_dependency_is_accounted_for() -> None:
    """A library that nobody wrote down is one that nobody chose (decision 8)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    names = {re.split(r"[\[<>=;~! ]", each, maxsplit=1)[0] for each in wanted}
    record = (ROOT / "docs/decisions/0008-libraries.md").read_text()
    missing = {name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", record)}
    assert not missing, f"0008-libraries.md does not name {sorted(missing)}"
