"""``rota doctor``: what is configured, what is reachable, what is wrong and how to mend it.

Promises: changes nothing, shows no secret, and names a remedy with everything that it calls wrong; exit code 1 then.
"""

import asyncio
import fcntl
import http.client
import os
import re
import shutil
import socket
import sqlite3
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import click
import msgspec
from msgspec import Struct

from rota import main
from rota.api import SEALED
from rota.base import key_file, log
from rota.base.errors import Fault, Refusal, Unavailable, Unusable
from rota.base.settings import SECRETS, Settings, describe, load
from rota.cli import show
from rota.cli.options import as_json, setting_flags
from rota.outgoing import guard
from rota.resources.workspaces import keys
from rota.runtime.provider import ModelRequest, ProviderFailure, Reply
from rota.runtime.providers.open import VENDOR, choose, open_provider
from rota.runtime.sandbox import SandboxFailure
from rota.runtime.sandboxes.open import open_sandbox
from rota.runtime.sandboxes.unsafe_local import UnsafeLocal
from rota.store.db import sqlite_path
from rota.store.place import folder_of
from rota.store.sealed import keys_named
from rota.store.standing import Standing, standing

Status: TypeAlias = Literal["ok", "note", "wrong"]

_PYTHON = (3, 11)
_SQLITE = (3, 37, 0)
_TIGHT = 1 << 30
_FULL = 100 << 20
_STYLE = {"ok": "green", "note": "yellow", "wrong": "bold red"}


class Finding(Struct, frozen=True):
    """One thing that was looked at: what was found, and what to do if it is wrong."""

    name: str
    status: Status
    found: str
    mend: str | None = None


@click.command()
@click.option("--ask-model", metavar="MODEL", help="Also ask this model for one word, which may cost a few tokens.")
@setting_flags()
@as_json
def doctor(json_: bool, ask_model: str | None, **flags: Any) -> None:
    """Say what is configured, what is reachable, what is wrong and how to mend it."""
    try:
        settings = load(flags)
    except Unusable as exc:
        findings, shown = [Finding("settings", "wrong", str(exc), "Change or remove that setting.")], dict[str, str]()
    else:
        findings, shown = list(examine(settings, ask_model)), _shown(settings)
    well = all(finding.status != "wrong" for finding in findings)
    if json_:
        show.json({"ok": well, "version": main.own_version(), "settings": shown, "findings": findings})
    else:
        _print(shown, findings)
    if not well:
        sys.exit(1)


def examine(settings: Settings, ask_model: str | None = None) -> Iterator[Finding]:
    """Look at everything in turn."""
    yield _python()
    yield _duties(settings)
    yield _folder(settings)
    where = standing(settings.database_url)
    file = sqlite_path(settings.database_url) if where.server.startswith("SQLite") else None
    yield _space(settings, file)
    if file is not None:
        yield _sqlite()
        yield _server_lock(file)
    yield _database(where)
    yield _files(settings)
    yield _seal_key(settings)
    if where.exists and not where.problem and not where.pending:
        yield _keys(settings)
        yield _secrets(settings)
    yield _models(settings)
    if ask_model is not None:
        yield _ask_model(settings, ask_model)
    yield _sandbox(settings)
    yield _port(settings)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _PYTHON:
        return Finding("python", "wrong", f"Python {version}", "Install Python 3.11 or newer.")
    return Finding("python", "ok", f"Python {version}, rota {main.own_version()}")


def _sqlite() -> Finding:
    found = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < _SQLITE:
        return Finding("sqlite", "wrong", found, "Use a Python that carries SQLite 3.37 or newer.")
    return Finding("sqlite", "ok", found)


def _duties(settings: Settings) -> Finding:
    try:
        duties = ", ".join(sorted(settings.roles))
        guard.allowed(settings.allow_private_hosts)
    except Unusable as exc:
        return Finding("settings", "wrong", str(exc), "Change or remove that setting.")
    return Finding("settings", "ok", f"duties: {duties}")


def _folder(settings: Settings) -> Finding:
    folder = Path(settings.data_dir).expanduser().absolute()
    there = _nearest(folder)
    if not there.is_dir():
        return Finding(
            "data folder", "wrong", f"{there} is not a folder", "Name another with --data-dir or ROTA_DATA_DIR."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding(
            "data folder", "wrong", f"{there} cannot be written to by this user",
            f"Run `chown` or `chmod` on {there}, or name another with --data-dir or ROTA_DATA_DIR.",
        )  # fmt: skip
    return Finding(
        "data folder", "ok", f"{folder}" if folder == there else f"{folder} does not exist yet and will be made"
    )


def _space(settings: Settings, file: Path | None) -> Finding:
    folder = Path(settings.data_dir).expanduser().absolute() if file is None else file.absolute().parent
    free = shutil.disk_usage(_nearest(folder)).free
    found = f"{free / (1 << 30):.1f} GiB free at {folder}"
    if free < _FULL:
        return Finding("disk", "wrong", found, "Free space there; a full disk stops every write.")
    return Finding("disk", "note" if free < _TIGHT else "ok", found)


def _database(where: Standing) -> Finding:
    if where.problem:  # of a history that does not fit, the sentence itself says what to do
        mend = None if where.exists else "Check --database or ROTA_DATABASE, and that the database is running."
        return Finding("database", "wrong", where.problem, mend)
    if not where.exists:
        return Finding(
            "database", "note", f"{where.server}, empty; the first `rota serve` or `rota keys create` fills it"
        )
    if where.pending:
        return Finding(
            "database", "wrong", f"{where.server}, at migration {where.applied[-1]}; missing: {', '.join(where.pending)}",
            "Make a backup, then run `rota migrate`.",
        )  # fmt: skip
    return Finding("database", "ok", f"{where.server}, at migration {where.applied[-1]}")


def _files(settings: Settings) -> Finding:
    """The place for files. Into a bucket a few bytes are written, read and removed again; a folder is only looked at."""
    name, url = "files", settings.blobs_url
    try:
        folder = folder_of(url)
        if folder is None:
            asyncio.run(_try_place(settings))
            return Finding(name, "ok", f"{url} can be reached, written to and read from")
    except Unusable as exc:
        return Finding(name, "wrong", str(exc), "Change --blobs or ROTA_BLOBS.")
    except Fault as exc:
        mend = "Check ROTA_BLOBS and the ROTA_S3_* settings, that the bucket exists, and that the key may put, get, list and delete."
        return Finding(name, "wrong", f"{url} cannot be used: {log.redact(str(exc))}", mend)
    there = _nearest(folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        mend = f"Run `chown` or `chmod` on {there}, or name another place with --blobs or ROTA_BLOBS."
        return Finding(name, "wrong", f"{there} cannot be written to by this user", mend)
    return Finding(name, "ok", f"{folder}" if folder == there else f"{folder} does not exist yet and will be made")


async def _try_place(settings: Settings) -> None:
    blobs = main.open_place(settings)
    try:
        async with blobs.write("doctor") as writer:
            await writer.write(b"rota")
            written = await writer.finish()
        read = b"".join([chunk async for chunk in blobs.read(written.location)])
        await blobs.remove(written.location)
    finally:
        await blobs.close()
    if read != b"rota":
        raise Unavailable("what was read back is not what was written")


def _server_lock(path: Path) -> Finding:
    """Whether a server holds the file. Looked at with a shared lock that is let go at once."""
    try:
        with path.with_name(path.name + ".lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return Finding("server", "ok", f"process {file.read().strip() or 'unknown'} serves this database")
    except FileNotFoundError:
        pass
    except OSError as exc:
        return Finding(
            "server", "wrong", f"the lock file cannot be read: {exc}", f"Mend the permissions of {path.parent}."
        )
    return Finding("server", "ok", "no server is using this database")


def _seal_key(settings: Settings) -> Finding:
    name = "sealing key"
    path = settings.seal_key_path
    try:
        if settings.seal_key is not None:
            text, found = settings.seal_key, "given by ROTA_SEAL_KEY"
        elif path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                return Finding(
                    name, "wrong", f"{path} can be read by others (mode {mode:04o})", f"Run `chmod 600 {path}`."
                )
            text, found = path.read_text(), f"{path}, mode {mode:04o}"
        else:
            return Finding(name, "ok", f"none yet; {path} is made when the first secret is stored")
        number = len([key_file.parse_key(part) for part in text.split()])
    except (OSError, UnicodeDecodeError, Unusable) as exc:
        return Finding(
            name, "wrong", str(exc), f"Restore {path} from your backup; without it stored secrets cannot be opened."
        )
    if not number:
        return Finding(
            name,
            "wrong",
            f"{path} is empty",
            "Restore it from your backup; without it stored secrets cannot be opened.",
        )
    return Finding(name, "ok", found)


def _keys(settings: Settings) -> Finding:
    async def look() -> bool:
        db = main.open_store(settings)
        try:
            return await db.read(keys.any_active)
        finally:
            await db.close()

    try:
        if asyncio.run(look()):
            return Finding("keys", "ok", "there is at least one active key")
    except (Unusable, Fault, Refusal) as exc:
        return Finding(
            "keys", "wrong", f"the keys cannot be read: {log.redact(str(exc))}", "See what was said of the database."
        )
    return Finding("keys", "wrong", "no active key: nobody can use the API", "Run `rota keys create`.")


def _secrets(settings: Settings) -> Finding:
    """Whether every stored secret can be opened, by the keys that they name."""
    name = "secrets"

    async def look() -> dict[str, int]:
        db = main.open_store(settings)
        try:
            return await db.read(keys_named, SEALED)
        finally:
            await db.close()

    try:
        named = asyncio.run(look())
        there = {key_file.key_id(key) for key in key_file.read(settings.seal_key, settings.seal_key_path)}
    except (Unusable, Fault, OSError, UnicodeDecodeError) as exc:
        return Finding(name, "wrong", f"they cannot be looked at: {log.redact(str(exc))}", "See what was said above.")
    if lost := {key: count for key, count in named.items() if key not in there}:
        counts = ", ".join(f"{count:,} with {key}" for key, count in lost.items())
        return Finding(
            name, "wrong", f"some are sealed with a key that is not there: {counts}",
            f"Put the key back from your backup, as a line of {settings.seal_key_path} or into ROTA_SEAL_KEY.",
        )  # fmt: skip
    return Finding(name, "ok", f"{sum(named.values()):,} stored, all of them sealed with a key that is there")


def _models(settings: Settings) -> Finding:
    """Where models would be asked. Nobody is asked for this."""
    name = "models"
    try:
        provider = choose(settings)
    except Unusable as exc:
        return Finding(name, "wrong", str(exc), "Change the ROTA_MODEL_* settings.")
    if provider == "scripted":
        unused = ", although a key is configured" if settings.model_api_key else ""
        return Finding(name, "note", f"no model is asked{unused}: replies are made up by rule and say so (scripted)")
    at = (
        urlsplit(settings.model_base_url or VENDOR).netloc if settings.model_base_url or provider == "anthropic" else ""
    )
    key = "with the key of ROTA_MODEL_API_KEY" if settings.model_api_key else "without a key of ours"
    return Finding(name, "ok", f"asked by {provider}{at and f' at {at}'}, {key}")


def _ask_model(settings: Settings, model: str) -> Finding:
    """Whether a model answers, really."""
    name = f"model {model}"

    async def ask() -> Reply:
        provider = open_provider(settings)
        try:
            words = [{"type": "text", "text": "Say the word ready, and nothing else."}]
            question = ModelRequest(
                session_id="doctor", model=model, system=[], messages=[{"role": "user", "content": words}], tools=[]
            )
            return [piece async for piece in provider.ask(question) if isinstance(piece, Reply)][-1]
        finally:
            await provider.close()

    log.configure(level="error")  # a finding says it better than the lines that a server would write
    try:
        reply = asyncio.run(ask())
    except Unusable as exc:
        return Finding(name, "wrong", str(exc), "Change the ROTA_MODEL_* settings.")
    except ProviderFailure as exc:
        mend = (
            "Try again in a while; if it stays so, look at ROTA_MODEL_BASE_URL and at the endpoint's own log."
            if exc.retry
            else "Check ROTA_MODEL_API_KEY, ROTA_MODEL_BASE_URL, and that the endpoint knows a model of that name."
        )
        return Finding(name, "wrong", exc.message, mend)
    said = "".join(block["text"] for block in reply.content if block["type"] == "text")
    spent = f"{reply.usage.input_tokens} tokens in, {reply.usage.output_tokens} out"
    return Finding(name, "ok", f"answers: {said[:80]!r} ({spent}, {reply.stop_reason})")


def _sandbox(settings: Settings) -> Finding:
    """Whether boxes can be made here, and hold. A server whose sandbox does not work serves all the same, but for cloud tools."""
    name = "sandbox"
    mend = f"See docs/sandboxes.md; --sandbox off says that this server runs no tools. Until then it is {settings.sandbox}."
    if settings.sandbox == "unsafe-local":
        return Finding(name, "note", UnsafeLocal.WARNING)

    async def look() -> tuple[str | None, str]:
        sandbox = open_sandbox(settings)
        if sandbox is None:
            return None, "off: the tools of cloud environments do not run here"
        try:
            return await sandbox.check(), sandbox.describe()
        finally:
            await sandbox.close()

    try:
        problem, found = asyncio.run(look())
    except (SandboxFailure, Unusable) as exc:
        return Finding(name, "note", str(exc), mend)
    return Finding(name, "ok", found) if problem is None else Finding(name, "note", problem, mend)


def _port(settings: Settings) -> Finding:
    name, host, port = "port", settings.host, settings.port
    if port == 0:
        return Finding(name, "ok", "a free one is picked at each start")
    asked = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    connection = http.client.HTTPConnection(asked, port, timeout=3)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(1000)
        ours = answer.getheader("request-id", "").startswith("req_")
    except ConnectionRefusedError:
        return _bindable(host, port)
    except (OSError, http.client.HTTPException) as exc:
        if isinstance(exc, socket.gaierror):
            return Finding(name, "wrong", f"the host {host} is not known here", "Change --host or ROTA_HOST.")
        return Finding(
            name, "wrong", f"{host}:{port} is held by another program ({exc})", "Stop it, or choose another --port."
        )
    finally:
        connection.close()
    if not ours:
        return Finding(name, "wrong", f"{host}:{port} is held by another program", "Stop it, or choose another --port.")
    if answer.status != 200:
        return Finding(
            name, "wrong", f"a rota server answers at {host}:{port}, but it is not ready: {log.redact(body.decode(errors='replace'))}",
            "Look at its log; most often its database is away.",
        )  # fmt: skip
    return Finding(name, "ok", f"a rota server answers at {host}:{port} and is ready")


def _bindable(host: str, port: int) -> Finding:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as exc:
            return Finding(
                "port", "wrong", f"cannot listen on {host}:{port}: {exc.strerror}", "Choose another --host or --port."
            )
    return Finding("port", "ok", f"{host}:{port} is free; no server is running there")


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _shown(settings: Settings) -> dict[str, str]:
    """Every setting as text; secrets only by whether they are set."""
    values = msgspec.structs.asdict(settings)
    shown: dict[str, str] = {}
    for described in describe():
        value = values[described.name]
        if described.name in SECRETS:
            shown[described.name] = "set" if value else "not set"
        elif described.name == "database":
            shown[described.name] = _without_password(settings.database_url)
        elif isinstance(value, bool):
            shown[described.name] = str(value).lower()
        else:
            shown[described.name] = "" if value is None else log.redact(str(value))
    return shown


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    user = user.partition(":")[0]
    query = re.sub(r"(password)=[^&]*", r"\1=…", parts.query)
    return urlunsplit(parts._replace(netloc=f"{user}{at}{place}", query=query)) if at or query else url


def _print(shown: dict[str, str], findings: list[Finding]) -> None:
    show.thing(shown, title="Settings")
    screen = show.console()
    screen.print()
    for finding in findings:
        screen.print(f"[{_STYLE[finding.status]}]{finding.status:5}[/] ", end="")
        screen.print(f"{finding.name}: {finding.found}", markup=False, soft_wrap=True)
        if finding.mend is not None:
            screen.print(f"      {finding.mend}", markup=False, soft_wrap=True, style="bold")
