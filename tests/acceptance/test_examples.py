"""The official client's own examples run as they are. The table of all of them: ``python -m tests.acceptance.examples``."""

from pathlib import Path

import pytest

from tests.acceptance.examples import EXAMPLES, VERSION, Example, run
from tests.vendor.suites import suite

OTHERS = frozenset(
    {
        "azure.py", "batch_results.py", "bedrock.py", "fallbacks.py", "google_cloud.py", "images.py", "mcp_tool_runner.py",
        "message_threads.py", "messages.py", "messages_stream.py", "structured_outputs.py", "structured_outputs_streaming.py",
        "thinking.py", "thinking_stream.py", "tools.py", "tools_runner.py", "tools_runner_deferred_streaming.py",
        "tools_runner_search_tool.py", "tools_stream.py", "vertex.py", "web_search.py", "web_search_stream.py",
        "workload_identity.py",
    }
)  # fmt: skip
"""Examples of the Messages API, which this server asks and does not serve."""


def test_every_example_of_managed_agents_is_run() -> None:
    folder = suite(VERSION).folder / "examples"
    known = {each.file for each in EXAMPLES}
    assert {file.name for file in folder.glob("*.py")} == known | OTHERS
    for name in OTHERS:
        assert "beta.sessions" not in (folder / name).read_text()


@pytest.mark.parametrize(
    "example",
    [pytest.param(each, id=each.file, marks=[pytest.mark.slow] if each.long else []) for each in EXAMPLES],
)
def test_an_example_runs_unchanged(example: Example, tmp_path: Path) -> None:
    outcome = run(example, tmp_path)
    assert outcome.well, (outcome.code, outcome.missing, outcome.printed[-3000:], outcome.errors[-3000:])
