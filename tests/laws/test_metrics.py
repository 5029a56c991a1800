"""The metrics that the documentation names are there."""

import re
from pathlib import Path

from tests.api import Api

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"


def test_every_metric_that_operators_are_told_to_watch_exists(sqlite_api: Api) -> None:
    named = set(re.findall(r"`(rota_\w+[a-z])", PAGE.read_text())) - {"rota_wakes"}
    shown = sqlite_api.get("/metrics").raw.decode()
    families = set(re.findall(r"^# TYPE (\w+) ", shown, re.MULTILINE))
    assert len(named) > 10
    assert named <= families, named - families
