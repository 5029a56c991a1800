"""The operator's commands, on a stopped system and beside a live server, on both databases."""

from pathlib import Path

import pytest

from tests.cli.process import Server, answer, eventually, refusal, rota

KEY = "a-key-for-tests-0123456789"


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> list[str]:
    """The flags that name a fresh database."""
    return ["--database", database_url, "--data-dir", str(tmp_path)]


def test_an_empty_database_gets_an_organization_but_no_key(store: list[str]) -> None:
    shown = answer("organizations", "show", *store)
    assert (shown["name"], shown["disabled"]) == ("Default", False)
    assert [each["id"] for each in answer("workspaces", "list", *store)["data"]] == [shown["default_workspace_id"]]
    assert answer("keys", "list", *store) == {"data": []}
    with Server(*store) as server:
        assert "sk-rota" not in server.said


def test_a_key_made_beside_a_live_server_opens_it_until_it_is_revoked(store: list[str]) -> None:
    with Server(*store, ROTA_BOOTSTRAP_API_KEY=KEY) as server:
        made = answer("keys", "create", "--name", "second", *store)
        assert sorted(made) == ["id", "key"]
        assert server.ask("/v1/agents", made["key"])[0] == 200
        assert server.ask("/v1/agents", made["key"])[0] == 200
        assert answer("keys", "revoke", made["id"], *store) == {"id": made["id"], "status": "archived"}
        assert _eventually_status(server, made["key"], 401)
        assert server.ask("/v1/agents", KEY)[0] == 200
        listed = answer("keys", "list", *store)["data"]
        assert [(each["name"], each["status"]) for each in listed] == [("second", "archived"), ("first key", "active")]
        assert made["key"] not in str(listed)


def test_a_disabled_organization_only_reads_until_it_is_enabled(store: list[str]) -> None:
    with Server(*store, ROTA_BOOTSTRAP_API_KEY=KEY) as server:
        assert server.ask("/v1/environments", KEY, "POST", '{"name": "a"}')[0] == 200
        assert answer("organizations", "disable", *store)["disabled"]
        _eventually_status(server, KEY, 400, "POST", '{"name": ""}', word="disabled")
        assert server.ask("/v1/environments", KEY)[0] == 200
        assert not answer("organizations", "enable", *store)["disabled"]
        _eventually_status(server, KEY, 200, "POST", '{"name": "b"}')


def test_an_archived_workspace_only_reads(store: list[str]) -> None:
    with Server(*store, ROTA_BOOTSTRAP_API_KEY=KEY) as server:
        second = answer("workspaces", "create", "Second", *store)["id"]
        key = answer("keys", "create", "--workspace", second, *store)["key"]
        assert server.ask("/v1/organizations/workspaces", key)[1]["data"][0]["id"] == second
        assert answer("workspaces", "archive", second, *store)["archived_at"]
        _eventually_status(server, key, 400, "POST", '{"name": "a"}', word="archived")
        assert len(answer("workspaces", "list", *store)["data"]) == 1
        assert len(answer("workspaces", "list", "--archived", *store)["data"]) == 2
        assert "archived" in refusal("keys", "create", "--workspace", second, *store)


def test_an_admin_key_opens_the_admin_routes_and_nothing_else(store: list[str]) -> None:
    with Server(*store) as server:
        key = answer("keys", "create", "--admin", *store)["key"]
        assert key.startswith("sk-rota-admin01-")
        assert server.ask("/v1/organizations/workspaces", key, "POST", '{"name": "x"}')[0] == 200
        assert server.ask("/v1/agents", key)[0] == 403


def test_an_environment_key_belongs_to_an_environment_that_is_there(store: list[str]) -> None:
    with Server(*store, ROTA_BOOTSTRAP_API_KEY=KEY) as server:
        environment = server.ask("/v1/environments", KEY, "POST", '{"name": "a"}')[1]["id"]
        made = answer("keys", "create", "--environment", environment, *store)
        assert made["key"].startswith("sk-rota-env01-")
        [listed] = [each for each in answer("keys", "list", *store)["data"] if each["id"] == made["id"]]
        assert (listed["scope"], listed["environment_id"]) == ("environment", environment)
        assert "not found" in refusal("keys", "create", "--environment", "env_nope", *store)
        assert server.ask(f"/v1/environments/{environment}/archive", KEY, "POST")[0] == 200
        assert answer("keys", "create", "--environment", environment, *store)["key"]  # its queue may still be drained


def test_a_key_may_expire(tmp_path: Path) -> None:
    store = ["--data-dir", str(tmp_path)]
    answer("keys", "create", "--expires-in", "3600", *store)
    [listed] = answer("keys", "list", *store)["data"]
    assert (listed["status"], listed["expires_at"] > listed["created_at"]) == ("active", True)
    assert "--expires-in" in refusal("keys", "create", "--expires-in", "0", *store, code=2)


def test_people_get_tables_and_the_key_by_itself_on_a_line(tmp_path: Path) -> None:
    store = ["--data-dir", str(tmp_path)]
    said = rota("keys", "create", "--name", "mine", *store).stdout
    [key] = [line.strip() for line in said.splitlines() if line.strip().startswith("sk-rota-api01-")]
    made = answer("keys", "list", *store)["data"][0]["id"]
    shown = rota("keys", "list", *store).stdout
    assert made in shown
    assert "mine" in shown
    assert key not in shown
    assert "Default" in rota("workspaces", "list", *store).stdout
    assert "Default" in rota("organizations", "show", *store).stdout
    assert made in rota("keys", "revoke", made, *store).stdout


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["workspaces", "archive", "wrkspc_nope"], "wrkspc_nope"),
        (["keys", "revoke", "apikey_nope"], "apikey_nope"),
        (["keys", "create", "--workspace", "wrkspc_nope"], "wrkspc_nope"),
        (["workspaces", "create", ""], "1 to 256"),
        (["migrate", "--database", "mysql://x"], "postgresql://"),
        (["keys", "list", "--database", "sqlite://x"], "sqlite:///"),
        (["keys", "list", "--database", "postgresql://127.0.0.1:9/x"], "PostgreSQL"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(tmp_path: Path, args: list[str], word: str) -> None:
    said = refusal(*args, "--data-dir", str(tmp_path))
    assert said.startswith("rota: ")
    assert word in said


def test_the_default_workspace_cannot_be_archived(tmp_path: Path) -> None:
    store = ["--data-dir", str(tmp_path)]
    workspace = answer("organizations", "show", *store)["default_workspace_id"]
    assert "default workspace" in refusal("workspaces", "archive", workspace, *store)


def test_contradictory_flags_are_a_usage_error(tmp_path: Path) -> None:
    assert "--admin" in refusal("keys", "create", "--admin", "--workspace", "x", "--data-dir", str(tmp_path), code=2)


def test_migrating_twice_changes_nothing(store: list[str]) -> None:
    first = answer("migrate", *store)
    assert first["at"][:4].isdigit()
    assert answer("migrate", *store) == {"applied": [], "at": first["at"]}
    assert first["at"] in rota("migrate", *store).stdout


def test_a_database_of_another_history_is_refused_with_advice(tmp_path: Path) -> None:
    import sqlite3

    store = ["--data-dir", str(tmp_path)]
    answer("migrate", *store)
    with sqlite3.connect(tmp_path / "rota.db") as connection:
        connection.execute("INSERT INTO migrations VALUES (9999, 'future', 'x', 0)")
    connection.close()
    for command in (["migrate"], ["keys", "list"], ["serve", "--port", "0"]):
        assert "Upgrade rota" in refusal(*command, *store)


def _eventually_status(
    server: Server, key: str, status: int, method: str = "GET", body: str | None = None, word: str = ""
) -> bool:
    """Wait until the server has heard of a change that another process made: at its next request, or moments later."""

    def changed() -> bool:
        got, said = server.ask("/v1/environments", key, method, body)
        return got == status and word in str(said)

    return eventually(changed)
