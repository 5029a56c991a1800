"""``rota keys rotate``: beside a live server under load, killed and taken up again, on both databases."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rota import api
from rota.base import key_file
from rota.base.clock import HandClock
from rota.store.db import open_db
from rota.store.sealed import keys_named
from rota.store.tx import Insert, Query, Tx
from tests.acceptance.server import Server
from tests.api import HELLO
from tests.cli.process import answer, environment, eventually, refusal, rota
from tests.conftest import START

KEEP = Insert("Seed.", "deployment_tokens", {"deployment_id": "text", "position": "bigint", "sealed": "bytea"})
ALL = Query("All.", "SELECT deployment_id, position, sealed FROM deployment_tokens ORDER BY deployment_id, position")
TOKENS = api.SEALED[0]


class Store:
    """A database and the data folder beside it, looked at from outside of any server."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.place = ["--database", url, "--data-dir", str(folder)]
        self.key_file = folder / "seal.key"

    def act(self, fn: Callable[..., Any], *args: Any) -> Any:
        """``fn(tx, …)`` on a connection of its own, committed."""
        import asyncio

        async def work() -> Any:
            db = open_db(self.url, HandClock(START))
            try:
                return await db.write(fn, *args)
            finally:
                await db.close()

        return asyncio.run(work())

    def seed(self, number: int) -> None:
        """That many sealed tokens."""
        self.folder.mkdir(exist_ok=True)
        sealer = key_file.load(None, self.key_file)
        rows = [
            (
                f"depl_{index // 3:05}",
                index % 3,
                sealer.seal(f"token {index}", TOKENS.place(f"depl_{index // 3:05}", index % 3)),
            )
            for index in range(number)
        ]
        self.act(lambda tx: tx.insert(KEEP, rows))

    def named(self) -> dict[str, int]:
        """How many secrets each key has."""
        return self.act(keys_named, api.SEALED)

    def envelopes(self) -> dict[tuple[str, int], bytes]:
        """Every token."""
        return {(row[0], row[1]): bytes(row[2]) for row in self.act(lambda tx: tx.all(ALL))}

    def keys(self) -> list[str]:
        """The ids of the keys in the file, the one that seals first."""
        return [key_file.key_id(key) for key in key_file.read(None, self.key_file)]

    def age(self) -> None:
        """Let the key file have been changed two minutes ago."""
        then = self.key_file.stat().st_mtime - 120
        os.utime(self.key_file, (then, then))


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Store:
    return Store(database_url, tmp_path / "data")


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path / "data")


def test_every_secret_is_wrapped_with_a_new_key_and_opens_as_before(store: Store) -> None:
    store.seed(250)
    [old], before = store.keys(), store.envelopes()
    told = answer("keys", "rotate", *store.place)
    new, kept = store.keys()
    assert (kept, told["sealing_key"], told["added"]) == (old, new, True)
    assert told["rewrapped"] == {column.table: 250 if column is TOKENS else 0 for column in api.SEALED}
    assert (told["lost"], told["altered"], told["retired"]) == ({}, 0, [])
    after, sealer = store.envelopes(), key_file.load(store.key_file.read_text().split()[0], store.key_file)
    assert {key: sealer.open(each, TOKENS.place(*key)) for key, each in after.items()} == {
        (f"depl_{index // 3:05}", index % 3): f"token {index}" for index in range(250)
    }
    assert all(after[key][74:] == before[key][74:] for key in before), "what they hold was not touched"
    assert store.key_file.stat().st_mode & 0o777 == 0o600


def test_a_key_is_retired_when_nothing_needs_it_and_nobody_can_still_be_using_it(sqlite_store: Store) -> None:
    store = sqlite_store
    store.seed(10)
    answer("keys", "rotate", *store.place)
    [new, old] = store.keys()
    assert "Wait " in refusal("keys", "rotate", "--retire", *store.place)
    store.age()
    told = answer("keys", "rotate", "--retire", *store.place)
    assert (told["retired"], told["sealing_key"], store.keys()) == ([old], new, [new])
    assert answer("keys", "rotate", "--retire", *store.place)["retired"] == []
    answer("keys", "rotate", *store.place)
    third, second = store.keys()
    assert second == new
    assert store.named() == {third: 10}


def test_a_key_that_a_secret_needs_is_not_retired(sqlite_store: Store) -> None:
    store = sqlite_store
    store.seed(10)
    [old] = store.keys()
    key_file.replace(store.key_file, [key_file.new_key(), *store.key_file.read_text().split()])
    store.age()
    said = refusal("keys", "rotate", "--retire", *store.place)
    assert f"10 with {old}" in said
    assert len(store.keys()) == 2
    told = answer("keys", "rotate", *store.place)
    assert (told["added"], len(store.keys())) == (False, 2), "the rotation that was begun is finished first"
    assert old not in store.named()


def test_progress_is_shown_and_what_comes_next_is_said(sqlite_store: Store) -> None:
    sqlite_store.seed(10)
    done = rota("keys", "rotate", *sqlite_store.place)
    assert done.returncode == 0, done.stderr
    assert "deployment_tokens" in done.stderr
    assert "10/10" in done.stderr
    assert f"Added the key {sqlite_store.keys()[0]}" in done.stdout
    assert "Wrapped 10 secrets with it: deployment_tokens 10." in done.stdout
    assert "--retire" in done.stdout


def test_a_lost_key_is_told_and_the_rest_is_done(sqlite_store: Store) -> None:
    store = sqlite_store
    store.seed(6)
    [lost], text = store.keys(), store.key_file.read_text()
    stranger = key_file.new_key()
    store.key_file.write_text(stranger)
    said = refusal("keys", "rotate", *store.place)
    assert "Is it the file that the server uses?" in said
    assert store.key_file.read_text() == stranger

    def one_more(tx: Tx) -> None:
        sealer = key_file.load(None, store.key_file)
        tx.insert(KEEP, [("depl_x", 0, sealer.seal("x", TOKENS.place("depl_x", 0)))])
        moved = sealer.seal("y", TOKENS.place("depl_elsewhere", 0))
        tx.insert(KEEP, [("depl_y", 0, moved), ("depl_z", 0, b"no envelope")])

    store.act(one_more)
    done = rota("keys", "rotate", "--json", *store.place)
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert (told["lost"], told["altered"], told["rewrapped"]["deployment_tokens"]) == ({lost: 6}, 2, 1)
    found = rota("doctor", "--json", "--port", "0", *store.place)
    [secrets] = [each for each in json.loads(found.stdout)["findings"] if each["name"] == "secrets"]
    assert (secrets["status"], lost in secrets["found"]) == ("wrong", True)
    store.key_file.write_text(store.key_file.read_text() + text)
    assert json.loads(rota("keys", "rotate", "--json", *store.place).stdout)["rewrapped"]["deployment_tokens"] == 6


def test_keys_from_the_environment_are_the_operators_to_change(sqlite_store: Store) -> None:
    store = sqlite_store
    store.seed(10)
    old, new = store.key_file.read_text().strip(), key_file.new_key()
    said = refusal("keys", "rotate", *store.place, ROTA_SEAL_KEY=old)
    assert "Put a new key in front of it" in said
    assert old not in said
    assert "take the old key out of it" in refusal("keys", "rotate", "--retire", *store.place, ROTA_SEAL_KEY=old)
    told = answer("keys", "rotate", *store.place, ROTA_SEAL_KEY=f"{new} {old}")
    assert (told["added"], told["rewrapped"]["deployment_tokens"]) == (False, 10)
    assert list(store.named()) == [key_file.key_id(key_file.parse_key(new))]
    assert answer("keys", "rotate", *store.place, ROTA_SEAL_KEY=f"{new} {old}")["rewrapped"]["deployment_tokens"] == 0
    assert store.key_file.read_text().strip() == old, "the file was not touched"


def test_no_key_is_added_where_only_wrapping_is_asked_for(sqlite_store: Store) -> None:
    store = sqlite_store
    store.seed(10)
    [old], new = store.keys(), key_file.new_key()
    assert answer("keys", "rotate", "--wrap-only", *store.place)["rewrapped"]["deployment_tokens"] == 0
    assert store.keys() == [old]
    key_file.replace(store.key_file, [new, store.key_file.read_text().strip()])
    told = answer("keys", "rotate", "--wrap-only", *store.place)
    assert (told["added"], told["rewrapped"]["deployment_tokens"], len(store.keys())) == (False, 10, 2)
    assert old not in store.named()
    assert "do not go together" in refusal("keys", "rotate", "--wrap-only", "--retire", *store.place, code=2)


def test_without_a_key_there_is_nothing_to_rotate(sqlite_store: Store) -> None:
    assert "There is no sealing key" in refusal("keys", "rotate", *sqlite_store.place)
    assert not sqlite_store.key_file.exists()


def test_a_killed_rotation_is_taken_up_where_it_stopped(store: Store) -> None:
    store.seed(3000)
    [old] = store.keys()
    process = subprocess.Popen(
        [sys.executable, "-m", "rota", "keys", "rotate", "--json", *store.place],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with closing(_looker(store)) as look:
        eventually(lambda: 0 < look.count(old) < 3000 or process.poll() is not None)
        process.kill()
        process.wait()
    left = store.named()[old]
    assert 0 < left < 3000, "it was over before it was killed"
    assert store.keys()[1:] == [old]
    told = answer("keys", "rotate", *store.place)
    assert (told["added"], told["rewrapped"]["deployment_tokens"]) == (False, left)
    assert store.named() == {store.keys()[0]: 3000}


class _Look:
    """Counts the tokens of a key, over and over, on a connection that stays open."""

    def __init__(self, connection: Any, text: str) -> None:
        self._connection, self._text = connection, text

    def count(self, key: str) -> int:
        """How many tokens name the key."""
        return self._connection.execute(self._text, (key.encode(),)).fetchone()[0]

    def close(self) -> None:
        """Let go."""
        self._connection.close()


def _looker(store: Store) -> _Look:
    text = "SELECT count(*) FROM deployment_tokens WHERE substr(sealed, 3, 12) = "
    if store.url.startswith("sqlite"):
        import sqlite3

        return _Look(sqlite3.connect(store.url.removeprefix("sqlite:///"), timeout=30), text + "?")
    return _Look(psycopg.connect(store.url, autocommit=True), text + "%s")


def test_a_server_does_not_start_without_the_key_of_its_secrets(store: Store) -> None:
    store.seed(1)
    text = store.key_file.read_text()
    store.key_file.unlink()
    said = refusal("serve", "--port", "0", *store.place, ROTA_BOOTSTRAP_API_KEY="acceptance-key-0123456789")
    assert "there is no sealing key at" in said
    assert not store.key_file.exists(), "none was made in its place"
    with Server(store.folder.parent / "server", store.url, ROTA_SEAL_KEY=text.strip()) as server:
        assert server.ask("GET", "/v1/vaults").ok()["data"] == []
    store.key_file.write_text(text)
    with Server(store.folder.parent / "server", store.url, "--seal-key-file", str(store.key_file)):
        pass


# Beside a server under load


REPOSITORY = {
    "type": "github_repository",
    "url": "https://github.com/a/b",
    "authorization_token": "ghp-token-of-the-load",
}


class Load:
    """Callers that seal and open secrets without a pause, until they are told to stop. Every answer must be good."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.done = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(3)]
        agent = server.ask("POST", "/v1/agents", {"name": "Clerk", "model": "claude-opus-5-5"}).ok()["id"]
        office = server.ask("POST", "/v1/environments", {"name": "office"}).ok()["id"]
        self.deployment = {
            "name": "d",
            "agent": agent,
            "environment_id": office,
            "initial_events": HELLO,
            "resources": [REPOSITORY],
        }
        self.vault = server.ask("POST", "/v1/vaults", {"display_name": "v"}).ok()["id"]
        self.credentials = f"/v1/vaults/{self.vault}/credentials"
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Tell the callers to stop, and wait for them."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, number: int) -> None:
        try:
            auth = {"type": "mcp_oauth", "mcp_server_url": f"http://127.0.0.1:1/{number}", "access_token": "first"}
            mine = self.server.ask("POST", self.credentials, {"auth": auth}).ok()["id"]
            while not self._stop.is_set():
                made = self.server.ask("POST", "/v1/deployments", self.deployment).ok()["id"]
                run = self.server.ask("POST", f"/v1/deployments/{made}/run").ok()
                assert run["error"] is None, run
                change = {"auth": {"type": "mcp_oauth", "access_token": f"token {self.done}"}}
                self.server.ask("POST", f"{self.credentials}/{mine}", change).ok()
                told = self.server.ask("POST", f"{self.credentials}/{mine}/mcp_oauth_validate").ok()
                assert told["status"] == "unknown", told  # it was opened, and its server may not be asked
                self.done += 1
        except Exception as exc:
            self.failures.append(repr(exc))


def test_keys_change_under_a_server_at_work(store: Store) -> None:
    store.seed(1500)
    [old] = store.keys()
    with Server(store.folder.parent / "server", store.url, "--seal-key-file", str(store.key_file)) as server:
        load = Load(server)
        try:
            eventually(lambda: load.done >= 3 or load.failures)
            told = answer("keys", "rotate", *store.place)
            assert told["added"]
            assert sum(told["rewrapped"].values()) >= 1500
            new = store.keys()[0]
            before = load.done
            assert store.named().keys() == {new}
            eventually(lambda: load.done >= before + 3 or load.failures)
            assert store.named().keys() == {new}, "the server seals with the new key by itself"
            store.age()
            assert answer("keys", "rotate", "--retire", *store.place)["retired"] == [old]
            before = load.done
            eventually(lambda: load.done >= before + 3 or load.failures)
        finally:
            load.stop()
        assert load.failures == []
        assert server.errors().count("cannot be asked") == server.errors().count("\n"), server.errors()
        server.stop()
        server.start()
        made = server.ask("POST", "/v1/deployments", load.deployment).ok()["id"]
        assert server.ask("POST", f"/v1/deployments/{made}/run").ok()["error"] is None
    assert store.named().keys() == {new}
