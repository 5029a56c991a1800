"""The API's routes as commands, against a real server."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from rota import api
from rota.cli import verbs
from rota.http.route import Route
from tests.cli.process import Server, answer, refusal, rota

KEY = "a-key-for-tests-0123456789"
HELLO = '[{"type": "user.message", "content": [{"type": "text", "text": "Hello."}]}]'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("verbs")
    with Server("--data-dir", str(folder), ROTA_BOOTSTRAP_API_KEY=KEY) as live:
        yield live


@pytest.fixture
def place(server: Server) -> dict[str, str]:
    """The variables that lead to the server."""
    return {"ROTA_URL": server.url, "ROTA_API_KEY": KEY}


def find(route: Route) -> click.Command:
    place: click.Command = verbs.api
    for word in route.name.split("."):
        assert isinstance(place, click.Group)
        place = place.commands[word]
    return place


# From the table


@pytest.mark.parametrize("route", api.ROUTES, ids=lambda route: route.name)
def test_a_route_is_a_command_with_an_argument_for_each_parameter_and_an_option_for_each_field(route: Route) -> None:
    command = find(route)
    assert route.summary in (command.help or "")
    assert [each.name for each in command.params if isinstance(each, click.Argument)] == [
        f"path_{p}" for p in route.parameters
    ]
    options = {name for each in command.params if isinstance(each, click.Option) for name in each.opts}
    for kind in (route.query, route.body, route.upload):
        if kind is not None and hasattr(kind, "__struct_fields__"):
            for field in msgspec.structs.fields(kind):
                plain = field.encode_name.replace("[]", "").replace("[", "-").replace("]", "").replace("_", "-")
                assert f"--{plain}" in options or f"--set-{plain}" in options
    assert {"--json", "--url", "--api-key"} <= options
    assert ("--data" in options) == (route.body is not None)
    assert ("--output" in options) == (route.returns is bytes)
    assert ("--idempotency-key" in options) == route.creates


@pytest.mark.parametrize("route", api.ROUTES, ids=lambda route: route.name)
def test_no_two_options_of_a_command_have_one_name(route: Route) -> None:
    flags = [
        name
        for each in find(route).params
        if isinstance(each, click.Option)
        for name in (*each.opts, *each.secondary_opts)
    ]
    variables = [each.name for each in find(route).params]
    assert len(flags) == len(set(flags))
    assert len(variables) == len(set(variables))


def test_help_names_every_noun_and_every_command() -> None:
    said = rota("--help").stdout
    for word in ("serve", "demo", "doctor", "migrate", "keys", "workspaces", "organizations", "api"):
        assert f"  {word} " in said
    for noun in {route.name.split(".")[0] for route in api.ROUTES}:
        assert f"  {noun} " in said


def test_the_version_is_told() -> None:
    assert rota("--version").stdout.startswith("rota, version ")


# Against a server


def test_fields_become_options_and_ids_arguments(place: dict[str, str]) -> None:
    made = answer("environments", "create", "--name", "first", "--metadata", '{"a": "b"}', **place)
    assert made["metadata"] == {"a": "b"}
    assert answer("environments", "retrieve", made["id"], **place) == made
    changed = answer("environments", "update", made["id"], "--description", "new", **place)
    assert changed["description"] == "new"
    assert answer("environments", "delete", made["id"], "--force", **place)["type"] == "environment_deleted"


def test_a_deployment_is_run_from_the_command_line(place: dict[str, str]) -> None:
    agent = answer("agents", "create", "--name", "Clerk", "--model", "claude-opus-5-5", **place)
    environment = answer("environments", "create", "--name", "office", **place)
    deployment = answer(
        "deployments", "create", "--name", "Nightly", "--agent", agent["id"], "--environment-id", environment["id"],
        "--initial-events", HELLO, **place,
    )  # fmt: skip
    run = answer("deployments", "run", deployment["id"], **place)
    assert run["session_id"].startswith("sesn_")
    assert answer("deployment_runs", "list", "--deployment-id", deployment["id"], **place)["data"] == [run]
    shown = rota("deployments", "run", deployment["id"], **place).stdout
    assert "drun_" in shown
    assert "manual" in shown


def test_a_body_comes_as_text_from_a_file_or_from_stdin_with_options_on_top(
    place: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "body.json"
    file.write_text('{"name": "from a file", "metadata": {"a": "b"}}')
    made = answer("environments", "create", "--data", f"@{file}", "--name", "on top", **place)
    assert (made["name"], made["metadata"]) == ("on top", {"a": "b"})
    done = rota("environments", "create", "--data", "-", "--json", stdin='{"name": "from stdin"}', **place)
    assert msgspec.json.decode(done.stdout)["name"] == "from stdin"
    assert answer("environments", "create", "--data", '{"name": "from text"}', **place)["name"] == "from text"
    file.write_text('{"type": "self_hosted"}')
    assert (
        answer("environments", "create", "--name", "c", "--config", f"@{file}", **place)["config"]["type"]
        == "self_hosted"
    )


def test_pages_are_followed_when_asked(place: dict[str, str]) -> None:
    for number in range(3):
        answer("agents", "create", "--name", f"page {number}", "--model", "claude-opus-5-5", **place)
    whole = answer("agents", "list", "--limit", "100", **place)["data"]
    first = answer("agents", "list", "--limit", "2", **place)
    assert first["data"] == whole[:2]
    assert answer("agents", "list", "--limit", "2", "--page", first["next_page"], **place)["data"] == whole[2:4]
    assert answer("agents", "list", "--limit", "2", "--all", **place)["data"] == whole
    done = rota("agents", "list", "--limit", "2", **place)
    assert whole[0]["id"] in done.stdout
    assert "--page page_" in done.stderr


def test_lists_by_neighbour_are_followed_too(server: Server, tmp_path: Path, place: dict[str, str]) -> None:
    database = server._command[server._command.index("--data-dir") + 1]
    place["ROTA_API_KEY"] = answer("keys", "create", "--admin", "--data-dir", database)["key"]
    for name in "abc":
        answer("api", "organizations", "workspaces", "create", "--name", name, **place)
    listed = ["api", "organizations", "workspaces", "list", "--limit", "2"]
    assert [each["name"] for each in answer(*listed, **place)["data"]] == ["c", "b"]
    assert [each["name"] for each in answer(*listed, "--all", "--include-default", **place)["data"]] == [
        "c",
        "b",
        "a",
        "Default",
    ]
    back = answer(*listed, "--all", "--before-id", answer(*listed, "--all", **place)["data"][-1]["id"], **place)
    assert [each["name"] for each in back["data"]] == ["c", "b"]
    assert "--after-id wrkspc_" in rota(*listed, **place).stderr


def test_an_idempotency_key_does_things_once(place: dict[str, str]) -> None:
    command = ["environments", "create", "--name", "once", "--idempotency-key", "k"]
    assert answer(*command, **place) == answer(*command, **place)


def test_an_error_is_one_line_with_its_request_id(place: dict[str, str]) -> None:
    said = refusal("environments", "retrieve", "env_nope", **place)
    assert said.startswith("not_found_error: ")
    assert said.endswith(")")
    assert "(req_" in said
    assert refusal("environments", "retrieve", "a/../b?c", **place).startswith("not_found_error: ")


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--data", "nonsense"], "--data"),
        (["--data", "[1]"], "object"),
        (["--data", "@/nonexistent/file"], "/nonexistent/file"),
        (["--metadata", "nonsense"], "--metadata"),
        (["--url", "http://127.0.0.1:9"], "rota serve"),
        (["--url", "nonsense"], "nonsense"),
    ],
)
def test_what_cannot_be_sent_is_one_clear_line(place: dict[str, str], args: list[str], word: str) -> None:
    said = refusal("environments", "create", *args, **place)
    assert word in said
    assert "\n" not in said


def test_without_a_key_the_way_to_one_is_shown(server: Server) -> None:
    said = refusal("agents", "list", "--url", server.url)
    assert said.startswith("authentication_error: ")
    assert "ROTA_API_KEY" in said


def test_people_get_tables(place: dict[str, Any]) -> None:
    made = answer("environments", "create", "--name", "a [red]name[/]", **place)
    shown = rota("environments", "list", **place).stdout
    assert made["id"] in shown
    assert "a [red]name[/]" in shown
    one = rota("environments", "retrieve", made["id"], **place).stdout
    assert "unrestricted" in one
    narrow = rota("environments", "list", COLUMNS="60", **place).stdout
    assert made["id"] in narrow


def test_a_dry_run_and_an_explanation_are_tables_for_people(place: dict[str, str]) -> None:
    agent = answer("agents", "create", "--name", "Clerk", "--model", "claude-opus-5-5", **place)
    environment = answer("environments", "create", "--name", "the one to be archived", **place)
    deployment = answer(
        "deployments", "create", "--name", "Nightly", "--agent", agent["id"], "--environment-id", environment["id"],
        "--initial-events", HELLO, **place,
    )  # fmt: skip
    rota("environments", "archive", environment["id"], **place)
    said = rota("deployments", "check", deployment["id"], **place).stdout
    assert "A run now would make no session and record environment_archived_error." in said
    [broken] = [row for row in said.splitlines() if "broken" in row]
    assert environment["id"] in broken
    assert "environment_archived_error" in broken
    run = answer("deployments", "run", deployment["id"], **place)
    told = rota("deployment-runs", "explain", run["id"], **place).stdout
    assert "was archived, which is for good" in told
    assert environment["id"] in told
    assert answer("deployment_runs", "explain", run["id"], **place)["error"] == run["error"]


def test_a_folder_goes_up_as_its_files_and_comes_down_as_an_archive(place: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "my-skill"
    (folder / "scripts").mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: my-skill\ndescription: Does things.\n---\n")
    (folder / "scripts" / "run.py").write_text("print('hello')\n")
    made = answer("skills", "create", "--files", str(folder), "--display-name", "My own", **place)
    assert made["display_name"] == "My own"
    whole = tmp_path / "whole.zip"
    done = rota("skills", "versions", "content", made["id"], made["latest_version_id"], "--output", str(whole), **place)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(whole) as archive:
        assert sorted(archive.namelist()) == ["my-skill/SKILL.md", "my-skill/scripts/run.py"]
        assert archive.read("my-skill/scripts/run.py") == b"print('hello')\n"
    again = answer("skills", "versions", "create", made["id"], "--files", str(whole), **place)
    assert again["name"] == "my-skill"
    assert "SKILL.md" in refusal("skills", "create", "--files", str(folder / "scripts"), **place)
    assert "cannot be read" in refusal("skills", "create", "--files", str(tmp_path / "nowhere"), **place)
