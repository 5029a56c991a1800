"""The official client's own examples, run as they are: which there are, what each needs, and what becomes of it.

Promises: not a byte of an example is changed; it gets an address, a key and the variables that its own text asks for, and the
server's scripted model plays what the example waits for. ``python -m tests.acceptance.examples`` prints the table.

Examples send before they open their stream, and a stream shows what happens from then on. Real models take seconds, so nobody
notices; the scripts here wait for a moment.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from tests.acceptance.server import DUTIES, KEY, Server
from tests.cli.process import environment
from tests.vendor.suites import suite

VERSION = "2.12.0"
_SECONDS = 240
_MOMENT = {"delay_ms": 3000}


class Example(NamedTuple):
    """An example, what the model replies to it, and what it must have printed in the end."""

    file: str
    replies: list[dict[str, Any]]
    says: tuple[str, ...]
    prepare: Callable[[Server], dict[str, str]] = lambda _: {}
    """Makes what the example expects to be there; the variables that tell it."""
    long: bool = False
    """Whether the client waits for a minute, by its own rule, before it believes that a session is done."""


class Outcome(NamedTuple):
    """What became of an example."""

    example: Example
    code: int | None
    printed: str
    errors: str
    seconds: float

    @property
    def missing(self) -> list[str]:
        """What it should have printed, and has not."""
        return [words for words in self.example.says if words not in self.printed]

    @property
    def well(self) -> bool:
        """Whether it ended as it should."""
        return self.code == 0 and not self.missing


def _call(name: str, **given: Any) -> dict[str, Any]:
    return {"tool_use": {"name": name, "input": given}}


def _cloud(server: Server) -> dict[str, str]:
    made = server.ask("POST", "/v1/environments", {"name": "observed"}).ok()
    return {"ANTHROPIC_ENVIRONMENT_ID": made["id"], "ANTHROPIC_WORKDIR": str(server.folder)}


def _token(_: Server) -> dict[str, str]:
    return {"GITHUB_TOKEN": "github_pat_of_nobody"}


def _self_hosted(server: Server) -> dict[str, str]:
    made = server.ask("POST", "/v1/environments", {"name": "own", "config": {"type": "self_hosted"}}).ok()
    command = [sys.executable, "-m", "rota", "keys", "create", "--environment", made["id"], *server.place, "--json"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=_SECONDS, check=True)
    key = json.loads(done.stdout)["key"]
    folder = server.folder / "work"
    folder.mkdir()
    return {
        "ANTHROPIC_ENVIRONMENT_ID": made["id"],
        "ANTHROPIC_ENVIRONMENT_KEY": key,
        "ANTHROPIC_WORKDIR": str(folder),
    }


def _claimed(server: Server) -> dict[str, str]:
    """What a poller hands to the process that it starts: a work item that it has taken and acknowledged."""
    given = _self_hosted(server)
    place = given["ANTHROPIC_ENVIRONMENT_ID"]
    tools = [{"type": "agent_toolset_20260401"}]
    agent = server.ask("POST", "/v1/agents", {"name": "a", "model": "claude-haiku-5-5", "tools": tools}).ok()
    session = server.ask("POST", "/v1/sessions", {"agent": agent["id"], "environment_id": place}).ok()
    said = {"type": "user.message", "content": [{"type": "text", "text": "Run pwd."}]}
    server.ask("POST", f"/v1/sessions/{session['id']}/events", {"events": [said]}).ok()
    bearer = {"authorization": f"Bearer {given['ANTHROPIC_ENVIRONMENT_KEY']}"}
    deadline = time.monotonic() + 60
    work = None
    while work is None and time.monotonic() < deadline:
        path = f"/v1/environments/{place}/work/poll?block_ms=900"
        work = server.ask("GET", path, headers=bearer).ok()
    assert work is not None, "no work came"
    server.ask("POST", f"/v1/environments/{place}/work/{work['id']}/ack", headers=bearer).ok()
    return given | {"ANTHROPIC_WORK_ID": work["id"], "ANTHROPIC_SESSION_ID": session["id"]}


EXAMPLES = (
    Example("agents.py", [{**_MOMENT, "text": "Hello yourself!"}], ("Hello yourself!", '"end_turn"')),
    Example(
        "agents_comprehensive.py",
        [
            {**_MOMENT, "text": "I look outside.", **_call("get_weather", city="Kiel")},
            {"text": "It is mild."},
        ],
        ("Patched agent to v2", "agent.custom_tool_use", "temperature_c", "It is mild.", '"end_turn"'),
        _token,
    ),
    Example(
        "agents_with_files.py",
        [
            {**_MOMENT, **_call("read", file_path="/mnt/session/uploads/data.csv")},
            {"text": "They are alpha, bravo and charlie."},
        ],
        ("alpha,bravo,charlie", "They are alpha, bravo and charlie.", '"end_turn"'),
    ),
    Example(
        "managed-agents-streaming-deltas-manual.py",
        [{**_MOMENT, "text": "Waves fold into foam,\nthe tide keeps its ancient time,\nsalt upon the wind."}],
        ("Streaming:", "[final] Waves fold into foam,"),
    ),
    Example(
        "managed-agents-observe-tool-calls.py",
        [{**_MOMENT, **_call("bash", command="pwd")}, _call("bash", command="ls"), {"text": "That is the folder."}],
        ("bash {'command': 'pwd'}", "bash {'command': 'ls'}", "deleted session"),
        _cloud,
        long=True,
    ),
    Example(
        "managed-agents-self-hosted-sandbox-worker.py",
        [
            {"tool_use": [{"name": "current_time"}, {"name": "bash", "input": {"command": "pwd"}}]},
            {"text": "It is late, and we are here."},
        ],
        ("agent.tool_use: name=bash", "It is late, and we are here.", "session.status_idle", "deleted session"),
        _self_hosted,
        long=True,
    ),
    Example(
        "managed-agents-worker-dispatch.py",
        [_call("bash", command="pwd"), {"text": "Done."}],
        ("work item complete",),
        _claimed,
        long=True,
    ),
)


def run(example: Example, folder: Path) -> Outcome:
    """Run an example against a server of its own, from its start to its end."""
    of = suite(VERSION)
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "script"
    script.write_text("\n".join(["#!script", *map(json.dumps, example.replies)]))
    with Server(folder / "server", ROTA_ONLY=f"{DUTIES},worker", ROTA_MODEL_SCRIPT=str(script)) as server:
        given = example.prepare(server)
        variables = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": KEY, "NO_PROXY": "*", **given}
        command = [str(of.python), "-s", str(of.folder / "examples" / example.file)]
        began = time.monotonic()
        kept = {name: value for name, value in environment(**variables).items() if name != "PYTHONPATH"}
        try:
            done = subprocess.run(
                command, env=kept, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as late:
            printed, errors = (part.decode() if isinstance(part, bytes) else "" for part in (late.stdout, late.stderr))
            return Outcome(example, None, printed, errors, time.monotonic() - began)
        return Outcome(example, done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def run_all(wanted: Sequence[Example], folder: Path) -> list[Outcome]:
    """What becomes of these: the long ones wait together, and the others run meanwhile, one after the other."""
    suite(VERSION)  # made before they are timed, if it must be
    with ThreadPoolExecutor(len(wanted)) as together, ThreadPoolExecutor(1) as meanwhile:
        under_way = [
            (together if each.long else meanwhile).submit(run, each, folder / Path(each.file).stem)
            for each in sorted(wanted, key=lambda each: not each.long)
        ]
        outcomes = {outcome.example.file: outcome for outcome in (each.result() for each in under_way)}
    return [outcomes[each.file] for each in wanted]


def main() -> int:
    """Run all of them, or those with one of the given words in their names."""
    wanted = [each for each in EXAMPLES if not sys.argv[1:] or any(word in each.file for word in sys.argv[1:])]
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run_all(wanted, Path(folder))
    table = Table(title=f"The examples of anthropic {VERSION}, unchanged")
    for column in ("example", "outcome", "seconds"):
        table.add_column(column)
    for each in outcomes:
        why = "" if each.well else f"; exit code {each.code}, not printed: {', '.join(each.missing) or 'nothing'}"
        table.add_row(each.example.file, ("well" if each.well else "not well") + why, f"{each.seconds:.0f}")
    Console(width=160).print(table)
    for each in outcomes:
        if not each.well:
            print(f"\n{each.example.file}:\n{each.printed[-3000:]}\n{each.errors[-3000:]}")
    return 0 if all(each.well for each in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
