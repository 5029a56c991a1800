"""What a model is sent: the conversation as the log has it, in the terms of the Messages API. Pure.

Promises: what a model said goes back to it as it was, thinking and its signatures included; the results of its calls follow
in the order in which it made them, before anything else; what a file holds is sent as what it is, and a file that is gone is
said to be gone. Breakpoints for prompt caches are the provider's.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, TypeAlias

from msgspec import Struct

from rota.base.wire import encode
from rota.resources.sessions import calls
from rota.resources.sessions.turns import LogEvent, TurnSession
from rota.runtime import offers
from rota.runtime.provider import Block, ModelRequest

NOTHING = "(no output)"


class FileContent(Struct, frozen=True):
    """A file that a block refers to."""

    mime_type: str
    data: bytes


Files: TypeAlias = Mapping[str, FileContent | None]
"""By id; None for one that is gone."""


def request(session: TurnSession, talk: "Talk", instructions: str) -> ModelRequest:
    """The next question to the model."""
    agent = session.agent
    model = agent.model
    system = [{"type": "text", "text": text} for text in (agent.system, instructions) if text]
    return ModelRequest(
        session_id=session.id,
        model=model.id,
        system=system,
        messages=talk.messages,
        tools=offers.offered(agent.tools),
        effort=None if model.effort.type == "high" else model.effort.type,
        speed=None if model.speed == "standard" else model.speed,
        unanswered=tuple(talk.unanswered),
    )


def file_ids(log: Iterable[LogEvent]) -> set[str]:
    """The files that the conversation refers to."""
    return {
        source["file_id"]
        for event in log
        if event.type.startswith("user.") and event.processed_at is not None
        for source in _sources(event.body)
        if source["type"] == "file"
    }


def _sources(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Where an event's contents are, as far as they may be in files."""
    for block in body.get("content", ()):
        if block["type"] in ("image", "document"):
            yield block["source"]
    if "rubric" in body:
        yield body["rubric"]


class Talk:
    """A conversation in the making: event by event, so that a long one is not gone through again for each question.

    ``unanswered`` is what ``ModelRequest`` says of it. ``digest`` tells the messages that nothing can be added to any more.
    """

    def __init__(self) -> None:
        self.unanswered: list[int] = []
        self.digest = blake2b(digest_size=16)
        self._messages: list[Block] = []
        self._blocks = 0
        self._said: list[Block] = []
        self._results: dict[str, Block] = {}
        self._order: list[str] = []
        self._model_ids: dict[str, str] = {}

    @property
    def messages(self) -> list[Block]:
        """The conversation so far; what the user has said since the last answer is its last message."""
        return [*self._messages, *self.open]

    @property
    def open(self) -> list[Block]:
        """The message that more may be added to; none if the model has the last word."""
        content = self._pending()
        return [{"role": "user", "content": content}] if content else []

    def follow(self, event: LogEvent, files: Files) -> None:
        """Hear one more event, in the order of the log; one that waits is not yet part of the conversation."""
        kind, body = event.type, event.body
        if event.processed_at is None:
            return
        if kind == "user.message":
            self._said += _content(body["content"], files)
        elif kind == "user.define_outcome":
            self._said.append(_text(_task(body, files)))
        elif kind == "system.message":
            said = "\n".join(block["text"] for block in body["content"])
            self._said.append(_text(f"<system_message>\n{said}\n</system_message>"))
        elif kind in calls.USES:
            self._model_ids[event.id] = event.notes["model_id"]
        elif kind in calls.RESULTS:
            model_id = self._model_ids.get(calls.target(body) or "")
            if model_id is not None:
                self._results[model_id] = _result(model_id, body, files)
        elif kind == "span.model_request_end":
            reply = None if "refusal" in event.notes else event.notes.get("reply")
            if reply:
                self._answer(reply)
            elif "unheard" not in event.notes:  # it left nothing behind; what the user has said waits for the next
                self.unanswered.append(self._blocks + len(self._pending()))

    def _answer(self, content: list[Block]) -> None:
        for message in (*self.open, {"role": "assistant", "content": content}):
            self._messages.append(message)
            self._blocks += len(message["content"])
            self.digest.update(encode(message))
        self._said, self._results = [], {}
        self._order = [block["id"] for block in content if block["type"] == "tool_use"]

    def _pending(self) -> list[Block]:
        """Results in the model's order, then the rest."""
        return [self._results[model_id] for model_id in self._order if model_id in self._results] + self._said


def _result(model_id: str, body: Mapping[str, Any], files: Files) -> Block:
    content = list(_content(body.get("content") or (), files)) or [_text(NOTHING)]
    block: Block = {"type": "tool_result", "tool_use_id": model_id, "content": content}
    return {**block, "is_error": True} if body.get("is_error") else block


def _task(body: Mapping[str, Any], files: Files) -> str:
    """An outcome as the agent's task."""
    rubric = body["rubric"]
    measure = rubric["content"] if rubric["type"] == "text" else _rubric(rubric["file_id"], files)
    return (
        f"Your task is to bring about this outcome:\n\n{body['description']}\n\n"
        f"The result will be measured by this rubric:\n\n{measure}"
    )


def _rubric(file_id: str, files: Files) -> str:
    """What a rubric's file says."""
    file = files.get(file_id)
    if file is None:
        return f"(It was in the file {file_id}, which is not there any more.)"
    try:
        return file.data.decode()
    except UnicodeDecodeError:
        return f"(It is in the file {file_id}, which is not text and cannot be shown.)"


def _content(blocks: Iterable[Block], files: Files) -> Iterator[Block]:
    """Blocks as the Messages API takes them."""
    for block in blocks:
        kind = block["type"]
        if kind == "text":
            if block["text"]:
                yield _text(block["text"])
        elif kind in ("image", "document") and block["source"]["type"] == "file":
            yield _file(block, block["source"]["file_id"], files)
        elif kind in ("image", "document", "search_result"):
            yield {name: value for name, value in block.items() if value is not None}


def _file(block: Block, file_id: str, files: Files) -> Block:
    """A block of a file's bytes: an image, a PDF, or text, whatever the file is."""
    file = files.get(file_id)
    if file is None:
        return _text(f"[The file {file_id} was attached here. It is not there any more.]")
    about = {name: block[name] for name in ("title", "context") if block.get(name)}
    mime = file.mime_type.partition(";")[0].strip().lower()
    if mime.startswith("image/"):
        source = {"type": "base64", "media_type": mime, "data": b64encode(file.data).decode()}
        return {"type": "image", "source": source}
    if mime == "application/pdf":
        source = {"type": "base64", "media_type": mime, "data": b64encode(file.data).decode()}
        return {"type": "document", "source": source, **about}
    try:
        text = file.data.decode()
    except UnicodeDecodeError:
        return _text(f"[The file {file_id} was attached here. It is {mime}, which cannot be shown to a model.]")
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}, **about}


def _text(text: str) -> Block:
    return {"type": "text", "text": text}
