"""``rota serve``: the server in one process.

Promises: it listens on a public address only when somebody needs a key to come in; the line ``rota is listening on …`` is
written when connections are accepted, not before; SIGTERM and SIGINT let requests in flight finish within
``--shutdown-seconds`` and the exit code is 0; a second signal stops at once.
Loads no terminal or client library.
"""

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator
from ipaddress import ip_address
from typing import Any

import click
from uvicorn.config import Config
from uvicorn.server import Server

from rota import main
from rota.base import log
from rota.base.errors import InvalidRequest, Unusable
from rota.base.settings import Settings, load
from rota.cli.options import setting_flags
from rota.http.connection import Connection
from rota.resources.workspaces import actions, keys
from rota.store.tx import Tx

_BACKLOG = 2048
_KEEP_ALIVE = 75
"""Seconds. Clients drop idle connections earlier, so that none is closed under a request that is on its way."""


class _Server(Server):
    """uvicorn's server, but signals are ours and ``ready`` is called once connections are accepted."""

    def __init__(self, config: Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals alone: the original would raise them again at the end, and so spoil the exit code."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then say so."""
        await super().startup(sockets)
        self._ready()


class _Forward(logging.Handler):
    """Writes what the server library logs as lines of our own."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on, if our level lets it through; that a request was cut off at the deadline is said once.

        What cannot be read as HTTP is for debugging only: whoever reaches the port could otherwise fill the log.
        """
        if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
            return
        level = logging.DEBUG if record.getMessage().startswith("Invalid HTTP request") else record.levelno
        log.get("server").log(level, record.getMessage(), exc_info=record.exc_info)


@click.command()
@setting_flags()
def serve(**flags: Any) -> None:
    """Run the server."""
    settings = load(flags)
    log.configure(level=settings.log_level, json=settings.log_json)
    library = logging.getLogger("uvicorn")
    library.addHandler(_Forward())
    library.setLevel(logging.WARNING)
    library.propagate = False
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    if settings.test_clock and not is_loopback(settings.host):
        raise Unusable(
            f"Refusing to listen on {settings.host}, which others can reach, with --test-clock: whoever has a key could turn "
            "the clock. Listen on 127.0.0.1, or leave the flag out."
        )
    with contextlib.closing(_bind(settings.host, settings.port)) as listener:
        async with main.build(settings) as house:
            await _begin(settings, house)

            def ready() -> None:
                _collect_seldom()
                house.start()
                _say(f"rota is listening on {_address(settings.host, listener)}")

            server = _Server(
                Config(
                    house.app, http=Connection, ws="none", lifespan="off", interface="asgi3", log_config=None,
                    access_log=False, server_header=False, proxy_headers=False, backlog=_BACKLOG,
                    timeout_keep_alive=_KEEP_ALIVE, timeout_graceful_shutdown=settings.shutdown_seconds,
                ),
                ready=ready,
            )  # fmt: skip
            _stop_on_signals(house, server)
            try:
                await server.serve(sockets=[listener])
            except OSError as exc:  # somebody else began to listen here after we had bound
                raise _taken(settings.host, settings.port, exc) from exc


async def _begin(settings: Settings, house: main.House) -> None:
    """Fill an empty database, or refuse to be public while nobody needs a key to come in."""
    if not is_loopback(settings.host) and not await house.db.read(has_key, settings.bootstrap_api_key):
        raise Unusable(
            f"Refusing to listen on {settings.host}, which others can reach, while there is no active key. Set "
            "ROTA_BOOTSTRAP_API_KEY before the first start, or make a key with `rota keys create`, or listen on 127.0.0.1."
        )
    try:
        made = await house.db.write(actions.bootstrap, settings.bootstrap_api_key)
    except InvalidRequest as exc:
        raise Unusable(f"ROTA_BOOTSTRAP_API_KEY: {exc.message}") from exc
    if made is not None and settings.bootstrap_api_key is None:
        _say(
            f"The database was empty. This API key opens its default workspace; it is shown only now:\n\n    {made.key}\n"
        )
    elif made is not None:
        _say("The database was empty. The API key of its default workspace is the one in ROTA_BOOTSTRAP_API_KEY.")


def _collect_seldom() -> None:
    """Look for garbage in cycles less often than Python would by itself, and not in what there is from the start.

    Python looks after each 700 objects that stay for a moment, which a batch of fires makes ten times over: a tenth of the CPU of
    a fire went there. Nearly nothing here is in cycles; memory that is counted down to nothing is free at once, as ever.
    """
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def has_key(tx: Tx, bootstrap_api_key: str | None) -> bool:
    """Whether there is a key, or will be when an empty database has been filled."""
    return keys.any_active(tx) or (bootstrap_api_key is not None and actions.found(tx) is None)


def _stop_on_signals(house: main.House, server: Server) -> None:
    def stop(number: int) -> None:
        if house.stopping:
            os._exit(128 + number)  # whatever was answered is durable, and the lock goes with the process
        house.hang_up()
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where there is one: it is an extra that some platforms lack."""
    try:
        return importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return None


def _bind(host: str, port: int) -> socket.socket:
    """A socket that holds the address and does not accept connections yet. Unusable if somebody else has it."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise _taken(host, port, exc) from exc
    return listener


def _taken(host: str, port: int, error: OSError) -> Unusable:
    return Unusable(
        f"Cannot listen on {host} port {port}: {error.strerror}. Choose another with --port (0 picks a free one) or --host."
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; a name that is not known to be local is taken as public."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
