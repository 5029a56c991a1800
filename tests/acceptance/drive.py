"""One client, sync or async, called the same way, with everything that goes over its wire noted and judged.

Runs inside an environment that holds nothing but the client.
"""

import inspect
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
from schemas import Judge, find


class Wire:
    """Every request and response as it went over the wire."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.requests: list[dict[str, Any]] = []
        self.checked: Counter[str] = Counter()
        self.problems: list[str] = []
        self.unknown: set[str] = set()
        self.samples: dict[str, str] = {}
        """The longest body of each operation; of refusals, those without the details that the types do not have."""

    def sent(self, request: Any) -> None:
        """Note a request."""
        url = request.url
        headers = {name: request.headers.get(name) for name in ("x-api-key", "authorization", "anthropic-version")}
        self.requests.append(
            {
                "method": request.method,
                "path": url.path,
                "query": url.query.decode(),
                "credential": "x-api-key" if headers["x-api-key"] else "bearer" if headers["authorization"] else None,
                "version": headers["anthropic-version"],
                "beta": request.headers.get("anthropic-beta"),
            }
        )

    def received(self, response: Any) -> None:
        """Judge a response, whose body has been read; of a download there is nothing to judge but that it came."""
        request = response.request
        if response.status_code < 400 and response.headers["content-type"] != "application/json":
            self.checked[self.judge.operation(request.method, request.url.path)] += 1
            return
        verdict = self.judge.check(request.method, request.url.path, response.status_code, response.content)
        self.checked[verdict.operation] += 1
        where = f"{request.method} {request.url.path} {response.status_code}"
        self.problems += [f"{where}: {problem}" for problem in verdict.problems]
        if "request-id" not in response.headers:
            self.problems.append(f"{where}: no request-id header")
        self.unknown |= verdict.unknown
        if '"details"' not in response.text and len(response.text) > len(self.samples.get(verdict.operation, "")):
            self.samples[verdict.operation] = response.text

    def hooks(self) -> dict[str, list[Callable[[Any], Any]]]:
        """Event hooks of a sync HTTP client."""

        def received(response: Any) -> None:
            if not _streams(response):  # which would be read to its end
                response.read()
            self.received(response)

        return {"request": [self.sent], "response": [received]}

    def async_hooks(self) -> dict[str, list[Callable[[Any], Any]]]:
        """Event hooks of an async HTTP client."""

        async def sent(request: Any) -> None:
            self.sent(request)

        async def received(response: Any) -> None:
            if not _streams(response):
                await response.aread()
            self.received(response)

        return {"request": [sent], "response": [received]}


def _streams(response: Any) -> bool:
    return response.headers["content-type"].startswith("text/event-stream")


class Drive:
    """One client, sync or async, called the same way."""

    def __init__(self, client: Any, wire: Wire) -> None:
        self.client = client
        self.wire = wire
        self.calls = 0
        self.skipped: set[str] = set()

    def has(self, member: str) -> bool:
        """Whether this version has a member; if not, that is noted."""
        if find(self.client, member) is None:
            self.skipped.add(member)
            return False
        return True

    def _call(self, member: str, *args: Any, **arguments: Any) -> Any:
        method = find(self.client, member)
        accepted = inspect.signature(method).parameters
        fitting = {name: value for name, value in arguments.items() if name in accepted}
        self.skipped |= {f"{member}({name})" for name in arguments.keys() - fitting.keys()}
        self.calls += 1
        return method(*args, **fitting)

    async def do(self, member: str, *args: Any, **arguments: Any) -> Any:
        """Call a member; what it returned, as JSON."""
        result = self._call(member, *args, **arguments)
        if inspect.isawaitable(result):
            result = await result
        return result.to_dict(mode="json", use_api_names=True)

    async def fetch(self, member: str, *args: Any, **arguments: Any) -> bytes:
        """Call a member that downloads; the bytes."""
        result = self._call(member, *args, **arguments)
        if inspect.isawaitable(result):
            result = await result
        raw = result.read()
        return await raw if inspect.isawaitable(raw) else raw

    async def follow(
        self,
        member: str,
        act: Callable[[], Awaitable[None]],
        *args: Any,
        until: Callable[[list[Any]], bool] = lambda _: False,
        **arguments: Any,
    ) -> list[Any]:
        """Call a member that streams, act while the stream is open, and read on to its end, or until the events so far are
        enough; the events, as JSON."""
        stream = self._call(member, *args, **arguments)
        if inspect.isawaitable(stream):
            stream = await stream
        await act()
        found: list[Any] = []
        if hasattr(stream, "__aiter__"):
            async for event in stream:
                if until(self._note(member, event, found)):
                    break
            await stream.close()
        else:
            for event in stream:
                if until(self._note(member, event, found)):
                    break
            stream.close()
        return found

    def _note(self, member: str, event: Any, found: list[Any]) -> list[Any]:
        """Judge an event, and put it to those that were found."""
        found.append(event.to_dict(mode="json", use_api_names=True))
        verdict = self.wire.judge.judge_event(member, json.dumps(found[-1]).encode())
        self.wire.problems += [f"{member} {event.type}: {problem}" for problem in verdict.problems]
        self.wire.unknown |= verdict.unknown
        return found

    async def walk(self, member: str, *args: Any, **arguments: Any) -> list[Any]:
        """Call a list and walk through all of its pages; the items, as JSON."""
        result = self._call(member, *args, **arguments)
        items = [item async for item in result] if hasattr(result, "__aiter__") else list(result)
        return [item.to_dict(mode="json", use_api_names=True) for item in items]

    async def refused(self, member: str, *args: Any, **arguments: Any) -> Any:
        """Call a member that must fail; the client's exception, and how many requests it cost."""
        before = len(self.wire.requests)
        try:
            await self.do(member, *args, **arguments)
        except anthropic.APIStatusError as exc:
            body: Any = exc.body
            return {
                "kinds": [kind.__name__ for kind in type(exc).__mro__],
                "status": exc.status_code,
                "type": body["error"]["type"],
                "message": body["error"]["message"],
                "request_id": exc.request_id == body["request_id"],
                "requests": len(self.wire.requests) - before,
            }
        return {"kinds": []}
