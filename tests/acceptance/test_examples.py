"""The official client's own examples run as they are. The table of all of them: ``python -m tests.acceptance.examples``."""

from pathlib import Path

import pytest

from tests.acceptance.examples import EXAMPLES, VERSION, run_all
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


@pytest.mark.slow
def test_every_example_runs_unchanged(tmp_path: Path) -> None:
    """In one test, because some wait for a minute, and can do so together. ``python -m tests.acceptance.examples WORD`` runs one."""
    outcomes = run_all(EXAMPLES, tmp_path)
    assert [outcome.example for outcome in outcomes] == list(EXAMPLES)
    assert {
        outcome.example.file: (outcome.code, outcome.missing, outcome.printed[-3000:], outcome.errors[-3000:])
        for outcome in outcomes
        if not outcome.well
    } == {}
