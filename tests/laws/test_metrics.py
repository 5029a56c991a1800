"""The metrics that the documentation names are there, and those about unattended work are named."""

import re
from pathlib import Path

from tests.api import Api

DOCS = Path(__file__).parents[2] / "docs"
UNATTENDED = ("rota_schedule_", "rota_webhook_", "rota_chore_")
NO_METRICS = {"rota_wakes"}


def named(page: Path) -> set[str]:
    return set(re.findall(r"`(rota_\w+[a-z])", page.read_text())) - NO_METRICS


def families(api: Api) -> set[str]:
    return set(re.findall(r"^# TYPE (\w+) ", api.get("/metrics").raw.decode(), re.MULTILINE))


def test_every_metric_that_a_page_names_exists(sqlite_api: Api) -> None:
    shown = families(sqlite_api)
    for page in DOCS.glob("*.md"):
        assert named(page) <= shown, (page.name, named(page) - shown)
    assert len(named(DOCS / "operating.md")) > 10


def test_operators_are_told_of_every_metric_about_what_goes_on_by_itself(sqlite_api: Api) -> None:
    shown = {family for family in families(sqlite_api) if family.startswith(UNATTENDED)}
    assert shown <= named(DOCS / "operating.md"), shown - named(DOCS / "operating.md")
    assert all(any(family.startswith(prefix) for family in shown) for prefix in UNATTENDED)
