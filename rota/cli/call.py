"""One request to a running server, as the generated commands make it.

Promises: an error answer becomes one line ``type: message (request id)``; a list is followed to its end only when that is
asked for.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

import click
import httpx2
import msgspec

from rota.base.errors import Unusable
from rota.http.route import Route

_SECONDS = 60.0


class ErrorAnswer(click.ClickException):
    """The server's refusal, shown as it said it; exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """One line on stderr."""
        click.echo(self.message, file=file, err=True)


class Call(msgspec.Struct, kw_only=True):
    """What to ask, and of whom."""

    route: Route
    url: str
    api_key: str | None
    path: list[str]
    query: dict[str, Any] = {}
    body: dict[str, Any] | None = None
    fields: dict[str, str] | None = None
    """The plain fields of a form; None if no form is sent."""
    files: list[tuple[str, Path]] = []
    """The files of a form, by field."""
    idempotency_key: str | None = None


def send(call: Call) -> Any:
    """The decoded answer. Unusable if the server cannot be reached, ErrorAnswer if it refuses."""
    with client(call) as caller:
        return _answer(call, caller, call.query)


def send_all(call: Call) -> Any:
    """The answer with the items of every page, from the one asked for to the last."""
    with client(call) as caller:
        answer = _answer(call, caller, call.query)
        items, query = list(answer["data"]), dict(call.query)
        while more := onward(answer, query):
            query |= more
            answer = _answer(call, caller, query)
            items = answer["data"] + items if "before_id" in query else items + answer["data"]
        return answer | {"data": items}


def onward(answer: Any, query: dict[str, Any]) -> dict[str, str]:
    """The query parameters that lead to the page after this answer; none at the end."""
    if answer.get("next_page"):
        return {"page": answer["next_page"]}
    if answer.get("has_more"):
        back = "before_id" in query
        return {"before_id": answer["first_id"]} if back else {"after_id": answer["last_id"]}
    return {}


def client(call: Call) -> httpx2.Client:
    """A client that leads to the server, with the key."""
    headers = {"anthropic-version": "2023-06-01"}
    if call.api_key is not None:
        headers["x-api-key"] = call.api_key
    if call.idempotency_key is not None:
        headers["idempotency-key"] = call.idempotency_key
    nearby = urlsplit(call.url).hostname in ("127.0.0.1", "::1", "localhost")  # no proxy leads there
    return httpx2.Client(base_url=call.url, headers=headers, timeout=_SECONDS, trust_env=not nearby)


def path_of(call: Call) -> str:
    """The route's path with its parameters filled in."""
    path = call.route.path
    for name, value in zip(call.route.parameters, call.path, strict=True):
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    return path


@contextmanager
def told(call: Call) -> Generator[None]:
    """What goes wrong on the way to the server and back, as an Unusable that says what to do."""
    try:
        yield
    except httpx2.HTTPError as exc:
        raise Unusable(
            f"No answer from {call.url}: {exc}. Is `rota serve` running there? --url or ROTA_URL name another."
        ) from exc
    except (httpx2.InvalidURL, ValueError) as exc:
        raise Unusable(f"--url: {call.url!r} cannot be used: {exc}") from exc


def _answer(call: Call, caller: httpx2.Client, query: dict[str, Any]) -> Any:
    content = None if call.body is None else msgspec.json.encode(call.body)
    headers = {} if content is None else {"content-type": "application/json"}
    with told(call):
        response = caller.request(call.route.method, path_of(call), params=query, content=content, headers=headers)
    return decoded(call, response)


def decoded(call: Call, response: httpx2.Response) -> Any:
    """The answer in a response that has been read. ErrorAnswer if it is a refusal."""
    try:
        answer = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        raise Unusable(
            f"What {call.url} answered (status {response.status_code}) is not JSON; is it a rota server?"
        ) from None
    if response.is_success:
        return answer
    try:
        error = answer["error"]
        said = f"{error['type']}: {error['message']} ({answer.get('request_id') or response.headers.get('request-id')})"
    except (KeyError, TypeError):
        said = f"status {response.status_code}: {answer}"
    if response.status_code == 401 and call.api_key is None:
        said += "\nSet ROTA_API_KEY or give --api-key; `rota keys create` makes a key."
    raise ErrorAnswer(said)
