"""``rota demo``: a deployment run, by hand and by its schedule, from an empty folder, as a client sees it.

Starts a real server process on an SQLite file in a scratch folder and drives it over HTTP with the official ``anthropic``
client. Promises: reads none of your ``ROTA_*`` settings, touches nothing but the scratch folder, ends by itself and
clears up, unless ``--keep`` asks for the server to stay.
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import anthropic
import click
from anthropic.types.beta import BetaManagedAgentsDeploymentRun as Run

from rota.base.errors import Unusable
from rota.cli import show
from rota.runtime.providers import local

_START_SECONDS = 30.0
_STOP_SECONDS = 15.0
_TURN_SECONDS = 60.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_held: list[int] = []
_LISTENING = re.compile(r"rota is listening on (http://\S+)")
_MODEL = "claude-opus-4-5"
_MAX_TOKENS = 256
"""For the local model, which would go on and on."""
_TASK = "Look through yesterday's deliveries and list every parcel that arrived late."


@click.command()
@click.option("--keep", is_flag=True, help="Leave the server running, and say how to call it and how to stop it.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of the server; 0, the default, picks a free one."
)
@click.option(
    "--local-model",
    is_flag=True,
    help="Ask a real model, a tiny one that runs on this machine, instead of making replies up by rule.",
)
def demo(keep: bool, port: int, local_model: bool) -> None:
    """See a deployment run, from an empty folder, and end."""
    _hold_signals()
    folder = Path(tempfile.mkdtemp(prefix="rota-demo-"))
    key = f"sk-rota-demo-{secrets.token_urlsafe(32)}"
    model, server, done = None, None, False
    try:
        model = local.start() if local_model else None
        server = _start(folder, key, port, model)
        _end_on_signals()
        url = _wait(server, folder)
        with _client(url, key) as client:
            if model is not None:
                show.console().print(f"A real model, {local.MODEL}, answers on {model.url}.\n", soft_wrap=True)
            deployment_id = _tell(client, local.MODEL if model else _MODEL)
            _turn(client, local.MODEL if model else _MODEL)
            if keep:
                _mend(client, deployment_id)
                _say_how(url, key, deployment_id, server, folder, model)
        done = True
    except anthropic.AnthropicError as exc:
        raise Unusable(f"The client got an error that it did not expect: {exc}") from exc
    finally:
        if not (keep and done):
            _clear(server, folder, model)


def _start(folder: Path, key: str, port: int, model: local.Local | None) -> subprocess.Popen[bytes]:
    """A server of its own session, so that it can outlive this command; what it says goes to a file in the folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROTA_")}
    environment["ROTA_BOOTSTRAP_API_KEY"] = key
    if model is not None:
        environment |= {"ROTA_MODEL_BASE_URL": model.url, "ROTA_MODEL_MAX_TOKENS": str(_MAX_TOKENS)}
    command = [sys.executable, "-m", "rota", "serve", "--port", str(port), "--data-dir", str(folder), "--test-clock"]
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own program
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _hold_signals() -> None:
    """Only note signals for now: one that came between the server's start and our knowing of it would leave it behind."""
    for number in _SIGNALS:
        signal.signal(number, lambda number, _: _held.append(number))


def _end_on_signals() -> None:
    """End in good order on a signal, also on one that was noted before."""
    for number in _SIGNALS:
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    if _held:
        sys.exit(128 + _held[0])


def _wait(server: subprocess.Popen[bytes], folder: Path) -> str:
    """The server's URL, once it listens. Unusable, with what it said, if it ends instead or takes too long."""
    screen = show.console()
    sentence = f"Starting a server on a new SQLite file in {folder} …"
    if not screen.is_terminal:
        screen.print(sentence, soft_wrap=True)
    began, said = time.monotonic(), ""
    with screen.status(sentence):
        while time.monotonic() - began < _START_SECONDS:
            said = (folder / "server.log").read_text(errors="replace")
            if found := _LISTENING.search(said):
                screen.print(f"The server listens on {found[1]}, {time.monotonic() - began:.1f} s after its start.\n")
                return found[1]
            if server.poll() is not None:
                raise Unusable(f"The server ended with exit code {server.returncode}: {said.strip()}")
            time.sleep(0.02)
    raise Unusable(
        f"The server did not listen within {_START_SECONDS:.0f} seconds. It said: {said.strip() or 'nothing'}"
    )


def _client(url: str, key: str) -> anthropic.Anthropic:
    """The official client, without retries and without whatever proxy the environment names: all of this is local."""
    return anthropic.Anthropic(
        base_url=url, api_key=key, max_retries=0, http_client=anthropic.DefaultHttpxClient(trust_env=False)
    )


def _tell(client: anthropic.Anthropic, model: str) -> str:
    """Act as a client would, and print what it sees. Returns the deployment's id."""
    screen = show.console()
    agent = client.beta.agents.create(
        name="Parcel clerk", model=model, system="You keep the books of a small parcel office."
    )
    environment = client.beta.environments.create(name="office", description="Where the clerk works")
    deployment = client.beta.deployments.create(
        name="Late parcels",
        agent=agent.id,
        environment_id=environment.id,
        initial_events=[{"type": "user.message", "content": [{"type": "text", "text": _TASK}]}],
    )
    made = [("agent", agent), ("environment", environment), ("deployment", deployment)]
    show.table(["made", "id", "name"], [[noun, thing.id, thing.name] for noun, thing in made])

    screen.print(f"\n[bold]POST /v1/deployments/{deployment.id}/run[/]", soft_wrap=True)
    run = client.beta.deployments.run(deployment.id)
    _show_run(run, "The run record")
    if run.session_id is None:
        raise Unusable("The first run made no session; its record above says why.")
    _show_session(client, run.session_id)

    client.beta.environments.archive(environment.id)
    screen.print(
        f"\nThe environment is archived now. [bold]POST /v1/deployments/{deployment.id}/run[/] again", soft_wrap=True
    )
    _show_run(client.beta.deployments.run(deployment.id), "The record of a run that could not start")
    runs = client.beta.deployment_runs.list(deployment_id=deployment.id)
    screen.print("\nBoth are kept, newest first:")
    show.table(
        ["id", "session or error"], [[each.id, each.error.type if each.error else each.session_id] for each in runs]
    )
    return deployment.id


def _turn(client: anthropic.Anthropic, model: str) -> None:
    """Show a schedule that fires, on the server's clock, which stands still until it is turned."""
    screen = show.console()
    agent = client.beta.agents.create(name="Night clerk", model=model)
    environment = client.beta.environments.create(name="night office")
    deployment = client.beta.deployments.create(
        name="Every minute",
        agent=agent.id,
        environment_id=environment.id,
        initial_events=[{"type": "user.message", "content": [{"type": "text", "text": _TASK}]}],
        schedule={"type": "cron", "expression": "* * * * *", "timezone": "Europe/Berlin"},
    )
    assert deployment.schedule is not None
    upcoming = ", ".join(f"{moment:%H:%M}" for moment in deployment.schedule.upcoming_runs_at or ())
    screen.print(f"\nAnother deployment has a schedule, * * * * *: every minute. Its next runs (UTC): {upcoming}.")
    screen.print("[bold]POST /rota/v1/test_clock/advance[/] by five minutes", highlight=False)
    client.post("/rota/v1/test_clock/advance", body={"seconds": 300}, cast_to=object)
    rows: list[list[str | None]] = []
    for run in client.beta.deployment_runs.list(deployment_id=deployment.id):
        scheduled_at = getattr(run.trigger_context, "scheduled_at", None)
        rows.append([f"{scheduled_at:%H:%M:%S}", f"{run.created_at:%H:%M:%S.%f}", run.session_id])
    show.table(["scheduled_at", "created_at", "session"], rows, title="Its runs, newest first")
    screen.print("Every occurrence has one run, made at its own minute of the clock that was turned.")


def _mend(client: anthropic.Anthropic, deployment_id: str) -> None:
    """Give the deployment a live environment again, so that whoever goes on from here can run it."""
    environment = client.beta.environments.create(name="new office")
    client.beta.deployments.update(deployment_id, environment_id=environment.id)


def _show_run(run: Run, title: str) -> None:
    fields: dict[str, Any] = {
        "id": run.id,
        "created_at": run.created_at,
        "trigger": run.trigger_context.type,
        "agent": f"{run.agent.id}, version {run.agent.version}",
        "session_id": run.session_id,
        "error": None if run.error is None else f"{run.error.type}: {run.error.message}",
    }
    show.thing(fields, title=title)


def _show_session(client: anthropic.Anthropic, session_id: str) -> None:
    _rest(client, session_id)
    session = client.beta.sessions.retrieve(session_id)
    show.console().print()
    show.thing(
        {
            "id": session.id,
            "title": session.title,
            "status": session.status,
            "agent": f"{session.agent.name}, {session.agent.model.id}",
            "environment_id": session.environment_id,
            "deployment_id": session.deployment_id,
            "created_at": session.created_at,
        },
        title="The session that it started",
    )
    events = client.beta.sessions.events.list(session_id, limit=20).data
    show.console().print()
    show.table(
        ["type", "content"],
        [[event.type, _text(event.to_dict())] for event in events],
        title="Its events",
    )


def _rest(client: anthropic.Anthropic, session_id: str) -> None:
    """Wait until the session's turn is over; what there is is shown in any case."""
    began = time.monotonic()
    with show.console().status("The model is at work …"):
        while time.monotonic() - began < _TURN_SECONDS:
            if client.beta.sessions.retrieve(session_id).status in ("idle", "terminated"):
                return
            time.sleep(0.05)


def _text(event: dict[str, object]) -> str:
    """The plain text of an event's content, as far as it has any."""
    blocks = cast("list[dict[str, str]]", event.get("content") or [])
    return " ".join(block["text"] for block in blocks if "text" in block)


def _say_how(
    url: str, key: str, deployment_id: str, server: subprocess.Popen[bytes], folder: Path, model: local.Local | None
) -> None:
    processes = f"{server.pid} {model.process.pid}" if model else f"{server.pid}"
    print(
        f"\nThe deployment has a new environment, and the server is still running (process {server.pid}, folder {folder}). Run the deployment yourself:\n\n"
        f"    curl -X POST {url}/v1/deployments/{deployment_id}/run -H 'x-api-key: {key}' -H 'anthropic-version: 2023-06-01'\n\n"
        f"Its clock stands still. Turn it, and the schedule fires:\n\n"
        f"    curl -X POST {url}/rota/v1/test_clock/advance -H 'x-api-key: {key}' -d '{{\"seconds\": 300}}'\n\n"
        f"Stop it and clear up:\n\n    kill {processes} && rm -r {folder}\n"
    )


def _clear(server: subprocess.Popen[bytes] | None, folder: Path, model: local.Local | None) -> None:
    """Stop the servers, gently first, and remove the folder."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if server is not None and server.poll() is None:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    if model is not None:
        model.stop()
    shutil.rmtree(folder, ignore_errors=True)
