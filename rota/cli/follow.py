"""A stream of events on the terminal, as the generated commands show it.

Promises: an event is printed when it comes, for people a line of what matters in it, with ``--json`` a line of JSON and nothing
else; the command ends when the stream does. It does not reconnect: what happened meanwhile would be
missing, and a list tells it.
"""

from collections.abc import Iterable, Iterator
from typing import Any, cast

import click
import httpx2
import msgspec

from rota.cli.call import Call, client, decoded, path_of, told

_SILENCE = 60.0
"""Seconds without a sign of life, of which the server gives one every fifteen, after which it counts as gone."""
_SHOWN = ("name", "title", "stop_reason", "error", "agent_name", "session_thread_id", "input", "delta")
_WIDTH = 200


def follow(call: Call, *, as_json: bool) -> None:
    """Print events until there are no more. Unusable if the connection breaks, ErrorAnswer if the server refuses."""
    with client(call) as caller, told(call):
        caller.timeout = httpx2.Timeout(_SILENCE)
        with caller.stream(call.route.method, path_of(call), params=call.query) as response:
            if not response.is_success:
                response.read()
                decoded(call, response)
            for event in events(response.iter_bytes()):
                click.echo(msgspec.json.encode(event).decode() if as_json else _line(event))


def events(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The events in the bytes of a stream, without what only says that the server is there.

    A line ends where the format says so: a text may well hold what Unicode calls the end of a line.
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                event = msgspec.json.decode(line[6:], type=dict[str, Any])
                if event.get("type") != "ping":
                    yield event


def _line(event: dict[str, Any]) -> str:
    """An event for people: when, which, and what matters."""
    moment: str = event.get("processed_at") or ""
    return f"{moment[11:19]:8}  {event['type']:34}  {_gist(event)}".rstrip()


def _gist(event: dict[str, Any]) -> str:
    content: Any = event.get("content")
    if isinstance(content, list):
        blocks = cast("list[dict[str, Any]]", content)
        text = " ".join(str(block.get("text") or f"[{block.get('type')}]") for block in blocks)
    else:
        shown = {name: event[name] for name in _SHOWN if event.get(name)}
        text = " ".join(
            value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in shown.values()
        )
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
