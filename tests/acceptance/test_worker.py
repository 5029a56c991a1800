"""The official worker, untouched, with this server and its turn engine as the other side (contract, self-hosted work)."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import sdks
from tests.acceptance.server import Server
from tests.cli.process import answer, environment
from tests.forms import encode, file
from tests.resources.zips import manifest

pytestmark = pytest.mark.slow
NEWEST = sdks.VERSIONS[-1]
TURNING = "api,worker"
"""The duties of a server that turns sessions."""
LOOKS = 20_000
"""How often a test asks until it gives up: every answer takes its time."""


class Site:
    """A self-hosted environment at a server, with a key, an agent that has a skill, and a folder for its worker."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        folder.mkdir()
        body = {"name": "site", "config": {"type": "self_hosted"}}
        self.environment: str = server.ask("POST", "/v1/environments", body).ok()["id"]
        self.key: str = answer("keys", "create", "--environment", self.environment, *server.place)["key"]
        raw, kind = encode([file(manifest(), "my-skill/SKILL.md", name="files[]")])
        connection = server.connection()
        connection.request("POST", "/v1/skills", raw, {"x-api-key": server.key or "", "content-type": kind})
        skill = json.loads(connection.getresponse().read())
        connection.close()
        agent = {
            "name": "Clerk",
            "model": "claude-opus-5-5",
            "tools": [{"type": "agent_toolset_20260401"}],
            "skills": [{"type": "custom", "skill_id": skill["id"]}],
        }
        self.agent: str = server.ask("POST", "/v1/agents", agent).ok()["id"]

    def session(self, **fields: Any) -> str:
        """A session without anything to do yet."""
        body = {"agent": self.agent, "environment_id": self.environment, **fields}
        return self.server.ask("POST", "/v1/sessions", body).ok()["id"]

    def say(self, session: str, *replies: dict[str, Any]) -> None:
        """A message that makes the scripted model reply so."""
        script = "\n".join(["#!script", *map(json.dumps, replies)])
        message = {"type": "user.message", "content": [{"type": "text", "text": script}]}
        self.server.ask("POST", f"/v1/sessions/{session}/events", {"events": [message]}).ok()

    def events(self, session: str, kind: str) -> list[dict[str, Any]]:
        """A session's events of a type."""
        return self.server.ask("GET", f"/v1/sessions/{session}/events?types[]={kind}").ok()["data"]

    def finished(self, session: str, turns: int = 1) -> None:
        """Wait until so many turns have ended for good; the session's stream says when to look."""
        connection = self.server.connection()
        try:
            connection.request(
                "GET", f"/v1/sessions/{session}/events/stream", headers={"x-api-key": self.server.key or ""}
            )
            stream = connection.getresponse()
            while True:
                idle = self.events(session, "session.status_idle")
                if sum(each["stop_reason"]["type"] == "end_turn" for each in idle) >= turns:
                    return
                line = b"begin"
                while line and not line.startswith(b"event: session.status_idle"):
                    line = stream.readline()
                assert line, f"turn {turns} of {session} did not end"
        finally:
            connection.close()

    def results(self, session: str) -> list[str]:
        """The texts that the worker sent back, and whether they are errors, in order."""
        return [
            ("error: " if each.get("is_error") else "") + each["content"][0]["text"]
            for each in self.events(session, "user.tool_result")
        ]

    def items(self) -> list[dict[str, Any]]:
        """The environment's work, oldest first."""
        path = f"/v1/environments/{self.environment}/work?limit=100"
        return self.server.ask("GET", path).ok()["data"][::-1]

    def states(self, *expected: str) -> None:
        """Wait until the items are in these states, oldest first."""
        found: list[str] = []
        for _ in range(LOOKS):
            found = [item["state"] for item in self.items()]
            if found == list(expected):
                return
        raise AssertionError(f"the items are {found}")

    @contextmanager
    def worker(self, max_idle: float = 0.5) -> Iterator["subprocess.Popen[bytes]"]:
        """A worker in a process of its own, killed in the end."""
        given = {
            "url": self.server.url, "environment": self.environment, "key": self.key, "folder": str(self.folder),
            "max_idle": max_idle,
        }  # fmt: skip
        script = Path(__file__).with_name("worker_run.py")
        with (self.folder.parent / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [str(sdks.interpreter(NEWEST)), "-E", "-s", str(script)],
                env=environment(NO_PROXY="*", no_proxy="*", PYTHONDONTWRITEBYTECODE="1"),
                stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(json.dumps(given).encode() + b"\n")
        process.stdin.close()
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def use(tool: str, **input_: Any) -> dict[str, Any]:
    """A reply that calls a tool."""
    return {"tool_use": {"name": tool, "input": input_}}


def test_a_worker_serves_a_session_goes_home_and_comes_again(database_url: str, tmp_path: Path) -> None:
    with Server(tmp_path / "server", database_url, ROTA_ONLY=TURNING) as server:
        _serve_twice(server, tmp_path)


def _serve_twice(server: Server, tmp_path: Path) -> None:
    site = Site(server, tmp_path / "site")
    session = site.session()
    note = str(site.folder / "note.txt")
    with site.worker():
        site.say(
            session,
            use("write", file_path=note, content="one\ntwo\n"),
            use("read", file_path=note),
            use("edit", file_path=note, old_string="two", new_string="three"),
            use("glob", pattern="*.txt"),
            use("grep", pattern="three"),
            use("bash", command="cat note.txt; ls skills"),
            {"text": "Done."},
        )
        site.finished(session)
        results = site.results(session)
        assert len(results) == 6
        assert not any(result.startswith("error: ") for result in results), results
        assert "one" in results[1]
        assert "note.txt" in results[3]
        assert "three" in results[4]
        assert results[5].split() == ["one", "three", "my-skill"]
        site.states("stopped")  # the worker has seen that nothing comes any more
        site.say(session, use("bash", command="echo again"), {"text": "Done again."})
        site.finished(session, turns=2)
        assert site.results(session)[6].strip() == "again"
        site.states("stopped", "stopped")


def test_memories_are_mounted_with_the_sessions_token(tmp_path: Path) -> None:
    if not os.access("/mnt", os.W_OK):
        pytest.skip("the official worker mounts memories below /mnt, which is not writable here")
    with Server(tmp_path / "server", ROTA_ONLY=TURNING) as server:
        _remember(server, tmp_path)


def _remember(sqlite_server: Server, tmp_path: Path) -> None:
    site = Site(sqlite_server, tmp_path / "site")
    store = sqlite_server.ask("POST", "/v1/memory_stores", {"name": f"rota test {os.getpid()}"}).ok()["id"]
    path = f"/v1/memory_stores/{store}/memories"
    sqlite_server.ask("POST", path, {"path": "/note.md", "content": "Remember."}).ok()
    session = site.session(resources=[{"type": "memory_store", "memory_store_id": store}])
    [attached] = sqlite_server.ask("GET", f"/v1/sessions/{session}").ok()["resources"]
    mount = attached["mount_path"]
    with site.worker():
        site.say(
            session,
            use("bash", command=f"cat {mount}/note.md; echo Learnt. > {mount}/new.md"),
            {"text": "Done."},
        )
        site.finished(session)
        site.states("stopped")
    assert site.results(session) == ["Remember."]
    memories = sqlite_server.ask("GET", f"{path}?view=full").ok()["data"]
    assert {each["path"]: each["content"] for each in memories} == {"/note.md": "Remember.", "/new.md": "Learnt.\n"}
    [made] = [each["memory_version_id"] for each in memories if each["path"] == "/new.md"]
    version = sqlite_server.ask("GET", f"/v1/memory_stores/{store}/memory_versions/{made}").ok()
    assert version["created_by"] == {"type": "session_actor", "session_id": session}


def begun(site: Site, session: str) -> Path:
    """A call that runs on the worker now, and ends when somebody writes into the pipe; after a kill it ends at once."""
    begins, ends, flag = (site.folder / name for name in ("begins", "ends", "flag"))
    for pipe in (begins, ends):
        os.mkfifo(pipe)
    command = f"if [ -e {flag} ]; then echo anew; else touch {flag}; echo > {begins}; cat {ends}; fi"
    site.say(session, use("bash", command=command), {"text": "Done."})
    assert begins.read_text() == "\n"
    return ends


def test_a_call_survives_its_worker(tmp_path: Path) -> None:
    with Server(tmp_path / "server", None, "--test-clock", ROTA_ONLY=TURNING) as server:
        site = Site(server, tmp_path / "site")
        session = site.session()
        with site.worker() as first:
            begun(site, session)
            first.kill()
        site.states("active")
        server.ask("POST", "/rota/v1/test_clock/advance", {"seconds": 301}).ok()
        site.states("queued")
        with site.worker():
            site.finished(session)
        assert [result.strip() for result in site.results(session)] == ["anew"]


def test_a_call_survives_the_server(tmp_path: Path) -> None:
    with Server(tmp_path / "server", ROTA_ONLY=TURNING) as server:
        site = Site(server, tmp_path / "site")
        session = site.session()
        with site.worker():
            ends = begun(site, session)
            port = server.port
            server.kill()
            ends.write_text("done\n")
            server.start(port)
            site.finished(session)
            assert [result.strip() for result in site.results(session)] == ["done"]
            site.states("stopped")
