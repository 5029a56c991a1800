"""Events that clients send, as they travel (contract, sessions: inbound events).

Optional fields are UNSET when absent, so that an event encodes back to what was sent: deployments echo their first events
verbatim.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from rota.base.errors import InvalidRequest
from rota.base.wire import Id, Wire

MAX_FILE_DOCUMENTS = 100
MAX_RUBRIC = 262_144
MAX_INITIAL_EVENTS = 50
MAX_SENT_EVENTS = 1000
"""In one request. Ours: a hundred thousand would keep everybody else's writes waiting for seconds."""
DEFAULT_ITERATIONS = 3


class Base64Source(Wire, tag="base64", tag_field="type"):
    """Bytes in the request itself."""

    data: str
    media_type: str


class UrlSource(Wire, tag="url", tag_field="type"):
    """Bytes at a URL."""

    url: str


class FileSource(Wire, tag="file", tag_field="type"):
    """Bytes of an uploaded file."""

    file_id: Id


class TextSource(Wire, tag="text", tag_field="type"):
    """Plain text in the request itself."""

    data: str
    media_type: Literal["text/plain"]


class Text(Wire, tag="text", tag_field="type"):
    """A block of text."""

    text: str


class OnlyText(Wire):
    """The same where nothing else may stand; as a lone kind, a tag could be left out."""

    type: Literal["text"]
    text: str


class Image(Wire, tag="image", tag_field="type"):
    """A picture."""

    source: Base64Source | UrlSource | FileSource


class Document(Wire, tag="document", tag_field="type"):
    """A document, with a title and context for the model."""

    source: Base64Source | TextSource | UrlSource | FileSource
    title: str | None | UnsetType = UNSET
    context: str | None | UnsetType = UNSET


class Citations(Wire):
    """Whether citations are on."""

    enabled: bool


class SearchResult(Wire, tag="search_result", tag_field="type"):
    """One result of a search that a client made."""

    source: str
    title: str
    content: list[OnlyText]
    citations: Citations


class Redacted(Wire, tag="redacted", tag_field="type"):
    """Content that the server withholds; refused when a client sends it."""


MessageBlock: TypeAlias = Text | Image | Document | Redacted
ResultBlock: TypeAlias = Text | Image | Document | SearchResult


class TextRubric(Wire, tag="text", tag_field="type"):
    """A rubric in the request itself."""

    content: Annotated[str, Meta(min_length=1, max_length=MAX_RUBRIC)]


class FileRubric(Wire, tag="file", tag_field="type"):
    """A rubric in an uploaded file."""

    file_id: Id


class UserMessage(Wire, tag="user.message", tag_field="type"):
    """What the user says."""

    content: Annotated[list[MessageBlock], Meta(min_length=1)]


class DefineOutcome(Wire, tag="user.define_outcome", tag_field="type"):
    """What the work is to achieve, and how that is judged."""

    description: Annotated[str, Meta(min_length=1)]
    rubric: TextRubric | FileRubric
    max_iterations: Annotated[int, Meta(ge=1, le=20)] | None | UnsetType = UNSET


class SystemMessage(Wire, tag="system.message", tag_field="type"):
    """An instruction that is not the user's."""

    content: Annotated[list[OnlyText], Meta(min_length=1, max_length=1000)]


class Interrupt(Wire, tag="user.interrupt", tag_field="type"):
    """Stop what is being done, on one thread or on all."""

    session_thread_id: str | None | UnsetType = UNSET


class ToolConfirmation(Wire, tag="user.tool_confirmation", tag_field="type"):
    """Whether a tool call that asks may run."""

    tool_use_id: str
    result: Literal["allow", "deny"]
    deny_message: str | None | UnsetType = UNSET
    session_thread_id: str | None | UnsetType = UNSET


class CustomToolResult(Wire, tag="user.custom_tool_result", tag_field="type"):
    """What a tool of the client's gave."""

    custom_tool_use_id: str
    content: list[ResultBlock] | UnsetType = UNSET
    is_error: bool | None | UnsetType = UNSET
    session_thread_id: str | None | UnsetType = UNSET


class ToolResult(Wire, tag="user.tool_result", tag_field="type"):
    """What a built-in tool gave that a self-hosted worker ran."""

    tool_use_id: str
    content: list[ResultBlock] | UnsetType = UNSET
    is_error: bool | None | UnsetType = UNSET
    session_thread_id: str | None | UnsetType = UNSET


SessionInitialEvent: TypeAlias = UserMessage | DefineOutcome
DeploymentInitialEvent: TypeAlias = UserMessage | DefineOutcome | SystemMessage
InboundEvent: TypeAlias = (
    UserMessage | DefineOutcome | SystemMessage | Interrupt | ToolConfirmation | CustomToolResult | ToolResult
)


def name_of(event: InboundEvent) -> str:
    """The event's type on the wire."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def files_of(event: InboundEvent) -> Iterable[str]:
    """The uploaded files that an event refers to."""
    content: Iterable[MessageBlock | ResultBlock | OnlyText] = getattr(event, "content", None) or ()
    for block in content:
        if isinstance(block, Image | Document) and isinstance(block.source, FileSource):
            yield block.source.file_id
    if isinstance(event, DefineOutcome) and isinstance(event.rubric, FileRubric):
        yield event.rubric.file_id


def check(events: Sequence[InboundEvent], field: str) -> None:
    """The rules that shapes cannot say. ``field`` is the list's name in messages. InvalidRequest."""
    documents = outcomes = 0
    for index, event in enumerate(events):
        where = f"{field}.{index}.{name_of(event).replace('.', '_')}"
        content: Iterable[MessageBlock | ResultBlock | OnlyText] = getattr(event, "content", None) or ()
        for number, block in enumerate(content):
            if isinstance(block, Text | OnlyText) and not block.text:
                raise InvalidRequest(f"{where}.content.{number}.text: value is required")
            if isinstance(block, Redacted):
                raise InvalidRequest(
                    f"{where}.content.{number}.type: redacted blocks cannot be sent; leave the block out"
                )
            if isinstance(block, Document) and isinstance(block.source, FileSource):
                documents += 1
        if isinstance(event, DefineOutcome):
            outcomes += 1
        elif isinstance(event, SystemMessage):
            _check_system_message(events, index, field)
        elif isinstance(event, ToolConfirmation) and event.result == "allow" and event.deny_message:
            raise InvalidRequest(f"{where}.deny_message: only goes with result deny")
    if documents > MAX_FILE_DOCUMENTS:
        raise InvalidRequest(
            f"{field}: at most {MAX_FILE_DOCUMENTS} document blocks may come from files, got {documents}"
        )
    if outcomes > 1:
        raise InvalidRequest(f"{field}: at most one user.define_outcome event is allowed, got {outcomes}")


def _check_system_message(events: Sequence[InboundEvent], index: int, field: str) -> None:
    if index != len(events) - 1:
        raise InvalidRequest("a `system.message` event must be the last event in the list")
    if index == 0:
        if field == "initial_events":
            raise InvalidRequest("initial_events: must hold at least one user.message or user.define_outcome event")
    elif not isinstance(events[index - 1], UserMessage | ToolResult | CustomToolResult):
        raise InvalidRequest("a `system.message` event must directly follow a `user.message` or a tool result event")
