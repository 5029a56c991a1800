"""Models behind the Messages API: the vendor's, a cloud's, or any endpoint that speaks it, through the official SDK.

Promises: asks once, except that an endpoint which refuses a newer parameter is asked again without it, and never with it
again; raises nothing but ProviderFailure; no key and no address of ours is in a failure or a log line; giving a question up
closes its connection. Does not retry: when to ask again is the engine's to decide.
The SDK takes a second or two to load, so it is loaded at the first question, beside the loop.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, Final, cast

from rota.base import log
from rota.runtime.provider import ModelRequest, Piece, ProviderFailure
from rota.runtime.providers import complaints
from rota.runtime.providers.body import FAST_MODE, OPTIONS, Option, body, says_speed
from rota.runtime.providers.reading import Incomplete, Reading

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncStream
    from anthropic.lib.bedrock import AsyncAnthropicBedrock
    from anthropic.lib.vertex import AsyncAnthropicVertex

    Client = AsyncAnthropic | AsyncAnthropicBedrock | AsyncAnthropicVertex

_log = log.get("models")
_PATH: Final = "/v1/messages"
_REQUEST_IDS: Final = ("request-id", "x-amzn-requestid", "x-request-id")


class Anthropic:
    """The provider. ``connect`` makes the SDK's client; it is called on a thread, once. ``secrets`` never leave through here."""

    def __init__(
        self, name: str, connect: "Callable[[], Client]", *, max_tokens: int, secrets: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self._connect = connect
        self._connecting: asyncio.Future[Client] | None = None
        self._max_tokens = max_tokens
        self._secrets = secrets
        self._refused: dict[str, frozenset[Option]] = {}
        """By model: what its endpoint did not take."""

    async def ask(self, request: ModelRequest) -> AsyncGenerator[Piece]:
        """As the contract says."""
        began = time.perf_counter()
        try:
            async with await self._begin(await self._client(), request) as stream:
                reading = Reading()
                async for event in stream:
                    for piece in reading.feed(cast("dict[str, Any]", event)):
                        yield piece
                headers = stream.response.headers
                reply = reading.reply(next((headers[name] for name in _REQUEST_IDS if name in headers), None))
        except Exception as exc:  # a question ends in a reply or in a ProviderFailure, whatever the SDK may raise
            raise self._failure(exc, request, time.perf_counter() - began) from None
        yield reply

    async def close(self) -> None:
        """Release connections."""
        if self._connecting is not None:
            [made] = await asyncio.gather(self._connecting, return_exceptions=True)
            if not isinstance(made, BaseException):
                await made.close()

    async def _client(self) -> "Client":
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(asyncio.to_thread(self._connect))
        return await asyncio.shield(self._connecting)  # whoever gives up does not take it from the others

    async def _begin(self, client: "Client", request: ModelRequest) -> "AsyncStream[object]":
        """The stream of the answer; without what the endpoint is known not to take, or says now that it does not take."""
        import anthropic  # loaded by now

        known = without = self._refused.get(request.model, frozenset())
        while True:
            speed = says_speed(request) and "speed" not in without
            try:
                stream = await client.post(
                    _PATH,
                    body=body(request, max_tokens=self._max_tokens, without=without),
                    options={"headers": {"anthropic-beta": FAST_MODE}} if speed else {},
                    cast_to=object,
                    stream=True,
                    stream_cls=anthropic.AsyncStream[object],
                )
            except anthropic.APIStatusError as exc:
                refused = complaints.refused(exc.status_code, exc.body) & (OPTIONS - without)
                if not refused:
                    raise
                without |= refused
            else:
                learned = without - {"thoughts"}  # those are one conversation's, not the model's
                if learned != known:
                    self._refused[request.model] = learned
                    _log.info("an endpoint does without", model=request.model, parts=", ".join(sorted(learned)))
                return stream

    def _failure(self, exc: Exception, request: ModelRequest, seconds: float) -> ProviderFailure:
        """What went wrong, for the session; and a line in the log, for the operator."""
        import anthropic  # loaded by now
        import httpx2  # the SDK's own network library, whose errors come out of a stream as they are

        status = request_id = None
        match exc:
            case anthropic.APIStatusError():
                status, request_id = exc.status_code, exc.request_id
                found = complaints.failed(
                    status, exc.body, exc.response.headers, model=request.model, clean=self._presentable
                )
            case anthropic.APITimeoutError() | httpx2.TimeoutException():
                found = _lost("The model endpoint did not answer in time.")
            case anthropic.APIConnectionError():
                found = _lost("The model endpoint cannot be reached.")
            case httpx2.HTTPError() | Incomplete():
                found = _lost("The model endpoint broke off in the middle of a reply.")
            case KeyError() | TypeError() | ValueError() | AttributeError():
                found = _lost("The model endpoint's answer is not in the form of the Messages API.")
            case _:
                found = ProviderFailure("unknown", "The model could not be asked.", retry=False)
        detail = self._clean(str(getattr(exc, "body", None) or exc.__cause__ or exc))[:2000]
        _log.warning(
            "a model gave no reply", session_id=request.session_id, model=request.model, kind=found.kind, status=status,
            provider_request_id=request_id, seconds=round(seconds, 3), error=type(exc).__name__, detail=detail,
        )  # fmt: skip
        return found

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        return log.redact(text)

    def _presentable(self, text: str) -> str:
        return complaints.presentable(self._clean(text))


def _lost(message: str) -> ProviderFailure:
    return ProviderFailure("request_failed", message, retry=True)
