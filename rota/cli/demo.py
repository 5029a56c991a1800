"""``rota demo``: a deployment run, by hand and by its schedule, from an empty folder, as a client sees it.

Starts a real server process on an SQLite file in a scratch folder and drives it over HTTP with the official ``anthropic``
client (``story.py``). Promises: reads none of your ``ROTA_*`` settings, touches nothing but the scratch folder, ends by itself
and clears up, unless ``--keep`` asks for the server to stay.
"""

import asyncio
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

import anthropic
import click

from rota.base.errors import Unusable
from rota.base.settings import Settings
from rota.cli import show, story
from rota.cli.options import as_json
from rota.runtime.providers import local
from rota.runtime.sandbox import SandboxFailure
from rota.runtime.sandboxes.open import open_sandbox

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_held: list[int] = []
_LISTENING = re.compile(r"rota is listening on (http://\S+)")
_MODEL = "claude-opus-4-5"
_MAX_TOKENS = 256
"""For the local model, which would go on and on."""


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
@as_json
def demo(keep: bool, port: int, local_model: bool, json_: bool) -> None:
    """See a deployment run and its agent work, from an empty folder, and end."""
    _hold_signals()
    teller = story.Teller(json=json_)
    folder = Path(tempfile.mkdtemp(prefix="rota-demo-"))
    key = f"sk-rota-demo-{secrets.token_urlsafe(32)}"
    model, server, done = None, None, False
    try:
        model = local.start() if local_model else None
        server = _start(folder, key, port, model)
        _end_on_signals()
        problem = _why_no_sandbox(folder)
        url = _wait(server, folder, teller)
        with _client(url, key) as client:
            _say_what_is_there(teller, model, problem)
            name = local.MODEL if model else _MODEL
            deployment_id = story.tell(client, name, teller, scripted=model is None, sandbox=problem is None)
            story.turn_the_clock(client, name, teller)
            if keep:
                story.mend(client, deployment_id)
                _say_how(url, key, deployment_id, server, folder, model, teller)
        if json_:
            show.json(teller.told)
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


def _why_no_sandbox(folder: Path) -> str | None:
    """Why the server's tools will not run here, as ``rota doctor`` says it; None if they will. Found out while it starts."""

    async def look() -> str | None:
        sandbox = open_sandbox(Settings(data_dir=str(folder)))
        assert sandbox is not None
        try:
            return await sandbox.check()
        finally:
            await sandbox.close()

    try:
        return asyncio.run(look())
    except SandboxFailure as exc:
        return str(exc)


def _say_what_is_there(teller: story.Teller, model: local.Local | None, problem: str | None) -> None:
    teller.keep("model", model.url if model else "scripted")
    teller.keep("no_sandbox", problem)
    if model is not None:
        teller.say(
            f"A real model, {local.MODEL}, answers on {model.url}. It is too small to use tools, so it only talks.\n"
        )
    elif problem is not None:
        teller.say(f"No sandbox can be made here, so the agent has no tools and only talks: {problem}\n")


def _wait(server: subprocess.Popen[bytes], folder: Path, teller: story.Teller) -> str:
    """The server's URL, once it listens. Unusable, with what it said, if it ends instead or takes too long."""
    teller.say(f"Starting a server on a new SQLite file in {folder} …")
    began, said = time.monotonic(), ""
    while time.monotonic() - began < _START_SECONDS:
        said = (folder / "server.log").read_text(errors="replace")
        if found := _LISTENING.search(said):
            teller.say(f"The server listens on {found[1]}.\n")
            teller.keep("server", {"url": found[1]})
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


def _say_how(
    url: str,
    key: str,
    deployment_id: str,
    server: subprocess.Popen[bytes],
    folder: Path,
    model: local.Local | None,
    teller: story.Teller,
) -> None:
    processes = [server.pid, *([model.process.pid] if model else [])]
    teller.keep("server", {"url": url, "key": key, "processes": processes, "folder": str(folder)})
    teller.say(
        f"\nThe deployment has a new environment, and the server is still running (process {server.pid}, folder {folder}). Run the deployment yourself:\n\n"
        f"    curl -X POST {url}/v1/deployments/{deployment_id}/run -H 'x-api-key: {key}' -H 'anthropic-version: 2023-06-01'\n\n"
        f"Its clock stands still. Turn it, and the schedule fires:\n\n"
        f"    curl -X POST {url}/rota/v1/test_clock/advance -H 'x-api-key: {key}' -d '{{\"seconds\": 300}}'\n\n"
        f"Stop it and clear up:\n\n    kill {' '.join(map(str, processes))} && rm -r {folder}\n"
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
