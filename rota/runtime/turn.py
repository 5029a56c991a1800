"""One session, from its being taken up until it rests: plan, act, append, again (contract, sessions §6).

Promises: no transaction is open while a model is asked or a tool runs; that a tool was started is in the log before it is, so
that nothing with effects is run twice, whoever crashes when; what was done is written down once, and by nobody who has lost
the session. Knows one session and decides nothing: what comes next is said by ``loop``.
"""

import asyncio
import random
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from typing import TypeAlias, TypeVar

from msgspec import Struct

from rota.base import ids, log
from rota.base.errors import Unavailable, Unsure
from rota.base.wire import encode
from rota.resources.sessions import turns
from rota.resources.sessions.calls import Call
from rota.resources.sessions.turns import Claim, LogEvent
from rota.runtime import transcript
from rota.runtime.advance import Held, Limits, advance, take_up
from rota.runtime.attachments import Attachments
from rota.runtime.came import Came, Cut, Failed, Finished, Replied
from rota.runtime.loop import Ask, Rest, Run, Step, step
from rota.runtime.previews import Previews
from rota.runtime.provider import ModelRequest, Provider, ProviderFailure, Reply, ThinkingBegan
from rota.runtime.tallies import Tallies
from rota.runtime.tool import Outcome, Toolbox, Workshop
from rota.runtime.transcript import Talk
from rota.store.db import Db

STEPS = 100
"""Steps after which a turn lets others go first, if any wait."""
_RETRIES = 8
_PAUSE = 0.25
"""How often, and after how many seconds at first, an append is tried again while the database is away."""
_logger = log.get("turn")

Work: TypeAlias = "asyncio.Task[Came]"
T = TypeVar("T")


class Parts(Struct, frozen=True):
    """What turns are made with."""

    db: Db
    provider: Provider
    workshop: Workshop
    previews: Previews
    attachments: Attachments
    limits: Limits
    tallies: Tallies


class Turn:
    """A session that was taken up. ``run`` goes on until it rests, is lost, or is told to stop."""

    def __init__(self, parts: Parts, claim: Claim) -> None:
        self.claim = claim
        self.lost = False
        """Whether another has taken the session up, as its holder was told; whatever is still under way is for nothing."""
        self._parts = parts
        self._held: Held
        self._talk: Talk
        self._unheard: list[LogEvent]
        self._toolbox: Toolbox | None = None
        self._used = False
        self._stopping = False
        self._news = asyncio.Event()
        self._steps = 0

    def look(self) -> None:
        """There may be an interrupt: let it look."""
        self._news.set()

    def stop(self) -> None:
        """End after the step that is under way."""
        self._stopping = True

    async def run(self, *, crowded: "asyncio.Event | None" = None) -> bool:
        """Turn; whether the session rests now, or is to be gone on with. Fenced if it was lost; Unavailable if the database
        was away for too long. While it is ``crowded``, long turns let others go first."""
        await self._take_up()
        self._used = _has_used_tools(self._held.fresh)
        came: Sequence[Came] = ()
        try:
            while True:
                if self._stopping or (crowded is not None and crowded.is_set() and self._steps >= STEPS):
                    await self._part(came)
                    return False
                then = (await self._next(came)).then
                if isinstance(then, Rest):
                    return True
                self._steps += 1
                if isinstance(then, Ask):
                    came = [await self._ask()]
                elif isinstance(then, Run):
                    came = await self._run(then.calls)
        finally:
            if self._toolbox is not None:
                await self._quietly(self._toolbox.close())

    async def _take_up(self) -> None:
        """Read the session and its whole log: at the beginning, and whenever nobody knows what the log has."""
        held = take_up(*await self._parts.db.read(turns.load, self.claim), self._parts.limits)
        self._talk, self._unheard = Talk(), []
        self._hold(held)

    def _hold(self, held: Held) -> None:
        """Go by what the log amounts to now; what it has gained is for the model to hear with the next question."""
        self._held = held
        self._unheard += held.fresh

    async def _next(self, came: Sequence[Came]) -> Step:
        """Write what came, and what follows; before the session rests, its workshop is tidied (``Workshop.settle``)."""
        if self._used and self._would_rest(came):
            if came and not any(isinstance(each, Failed) for each in came):
                await self._write(came, only_record=True)
                came = ()
            await self._quietly(self._parts.workshop.settle(self._held.session))
            self._used = False
        return await self._write(came)

    def _would_rest(self, came: Sequence[Came]) -> bool:
        ahead = step(self._held.state, self._held.state.at, self._held.terms, came)
        return any(event.type == "session.status_idle" for event in ahead.new)

    async def _part(self, came: Sequence[Came]) -> None:
        """Write what came and leave the rest to whoever takes the session up next."""
        if came:
            await self._write(came, only_record=True)
        await self._parts.db.write(turns.hand_back, [self.claim])

    async def _write(self, came: Sequence[Came], *, under_way: bool = False, only_record: bool = False) -> Step:
        """Append, patiently. If nobody knows whether a commit was kept, the log does: what it has is not written again."""
        pause = _PAUSE
        for attempt in range(_RETRIES):
            try:
                held, done = await self._parts.db.write(
                    advance, self._held, came, under_way=under_way, only_record=only_record
                )
            except Unavailable as fault:
                if attempt == _RETRIES - 1:
                    raise
                _logger.warning("an append has to wait", session_id=self.claim.session_id, reason=str(fault))
                await asyncio.sleep(pause)
                pause *= 2
                if isinstance(fault, Unsure):
                    came = await self._missing(came)
            else:
                self._hold(held)
                self._parts.tallies.count(done, came)
                return done
        raise AssertionError("unreachable")

    async def _missing(self, came: Sequence[Came]) -> Sequence[Came]:
        """What the log does not have yet of what came, after another look at it."""
        span = self._held.state.span
        await self._take_up()
        state = self._held.state
        settled = {call.id for call in state.calls if call.settled}
        return [
            each
            for each in came
            if (
                each.call_id not in settled
                if isinstance(each, Finished)
                else state.span is not None and state.span == span
            )
        ]

    # Asking

    async def _ask(self) -> Came:
        """Ask the model. An interrupt ends the request; its tokens are lost."""
        asked = asyncio.create_task(self._question())
        if await self._unless_interrupted([asked]):
            return Cut()
        return asked.result()

    async def _question(self) -> Came:
        held, parts = self._held, self._parts
        begun = asyncio.get_running_loop().time()
        try:
            await self._hear()
            instructions = parts.workshop.instructions(held.session)
            came = await self._listen(transcript.request(held.session, self._talk, instructions))
        except ProviderFailure as failure:
            came = Failed(
                kind=failure.kind,
                message=failure.message,
                retry=failure.retry,
                retry_after=failure.retry_after,
                jitter=random.random(),  # noqa: S311 - spreads attempts, hides nothing
            )
            _logger.warning(
                "a model request failed", session_id=held.session.id, kind=failure.kind, reason=failure.message
            )
        except Exception as exc:
            _logger.error("a model request failed unexpectedly", session_id=held.session.id, exc_info=exc)
            said = "The model could not be asked, for a reason that the server's log has."
            came = Failed(kind="unknown", message=said, retry=True, jitter=random.random())  # noqa: S311 - as above
        parts.tallies.asked(came, asyncio.get_running_loop().time() - begun)
        return came

    async def _hear(self) -> None:
        """Let the conversation have what came since the last question. Files are read once in a turn."""
        fresh = self._unheard
        files = await self._parts.attachments.read(self._held.session.who, transcript.file_ids(fresh))
        self._unheard = []
        for event in fresh:
            self._talk.follow(event, files)

    async def _listen(self, request: ModelRequest) -> Replied:
        """Take the reply as it comes, showing what there is of it under the ids that its events will have."""
        previews, session_id = self._parts.previews, request.session_id
        message_id, thinking_id = ids.new(ids.EVENT), ids.new(ids.EVENT)
        thinking, indexes = False, dict[int, int]()
        reply: Reply | None = None
        pieces = self._parts.provider.ask(request)
        try:
            async for piece in pieces:
                if isinstance(piece, Reply):
                    reply = piece
                elif isinstance(piece, ThinkingBegan):
                    if not thinking:
                        previews.start(session_id, "agent.thinking", thinking_id)
                    thinking = True
                elif piece.text:
                    if not indexes:
                        previews.start(session_id, "agent.message", message_id)
                    index = indexes.setdefault(piece.index, len(indexes))
                    previews.delta(session_id, message_id, index, piece.text)
        finally:
            await pieces.aclose()
        if reply is None:
            raise ProviderFailure("unknown", "The model's reply broke off.", retry=True)
        asked = self._talk.digest.copy()
        asked.update(encode([request.model, request.system, request.tools, self._talk.open]))
        return Replied(reply=reply, message_id=message_id, thinking_id=thinking_id, request_hash=asked.hexdigest())

    # Running tools

    async def _run(self, calls: Sequence[Call]) -> Sequence[Came]:
        """Run calls, and append the result of each when it is there; the last one's is left to the next step."""
        under_way = {asyncio.create_task(self._tool(call)) for call in calls}
        while True:
            if await self._unless_interrupted(under_way, first=True):
                return [task.result() for task in under_way if not task.cancelled()]
            done = {task for task in under_way if task.done()}
            under_way -= done
            came = [task.result() for task in done]
            if not under_way:
                return came
            await self._write(came, under_way=True)

    async def _tool(self, call: Call) -> Came:
        begun = asyncio.get_running_loop().time()
        self._used = True
        try:
            if self._toolbox is None:
                self._toolbox = await self._parts.workshop.open(self._held.session)
            outcome = await self._toolbox.call(call.name, call.input)
        except Exception as exc:
            _logger.error("a tool failed unexpectedly", session_id=self.claim.session_id, tool=call.name, exc_info=exc)
            said = (
                f"The tool {call.name} could not be run: {exc}"
                if str(exc)
                else f"The tool {call.name} could not be run."
            )
            outcome = Outcome([{"type": "text", "text": said}], is_error=True)
        self._parts.tallies.ran(call.name, outcome, asyncio.get_running_loop().time() - begun)
        return Finished(call.id, outcome)

    # Being interrupted

    async def _unless_interrupted(self, work: Iterable[Work], *, first: bool = False) -> bool:
        """Wait for all the work, or the first of it to end. True if an interrupt came before, and the work was stopped."""
        tasks = set(work)
        ring = asyncio.create_task(self._interrupted())
        try:
            pending: set[Work] = {task for task in tasks if not task.done()}
            while pending:
                done, _ = await asyncio.wait({*pending, ring}, return_when=asyncio.FIRST_COMPLETED)
                pending = {task for task in tasks if not task.done()}
                if ring in done:
                    await _cancel(pending)
                    return bool(pending)
                if first:
                    return False
            return False
        except BaseException:
            await _cancel(tasks)
            raise
        finally:
            await _cancel([ring])

    async def _interrupted(self) -> None:
        """Return when an interrupt waits."""
        while True:
            await self._news.wait()
            self._news.clear()
            with suppress(Unavailable):
                if await self._parts.db.read(turns.interrupted, [self.claim.session_id]):
                    return

    async def _quietly(self, work: Awaitable[None]) -> None:
        """Let something of the workshop's fail without failing the turn."""
        try:
            await work
        except Exception as exc:
            _logger.error("the workshop could not tidy up", session_id=self.claim.session_id, exc_info=exc)


def _has_used_tools(log: Sequence[LogEvent]) -> bool:
    """Whether a turn that somebody else began, and died over, has used tools since the session last rested."""
    for event in reversed(log):
        if event.type in ("agent.tool_use", "session.status_idle"):
            return event.type == "agent.tool_use"
    return False


async def _cancel(tasks: Iterable["asyncio.Task[T]"]) -> None:
    waiting = [task for task in tasks if not task.done()]
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
