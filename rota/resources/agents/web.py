"""What only ``web_search`` and ``web_fetch`` can be told: domains, a place, and where URLs may come from (contract, tools).

Checks what was sent and resolves shorthand. Does not look at a URL: whoever fetches and searches does.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from rota.base.errors import InvalidRequest
from rota.base.wire import Echo, Wire

Domains: TypeAlias = Annotated[list[str], Meta(min_length=1, max_length=64)]
_Place: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)+({_LABEL})")
_PATH = re.compile(r"/[!-~]*")
_NUMBER = re.compile(r"\d+|0[xX][0-9A-Fa-f]+")
_LOCAL = {"localhost", "localdomain"}
_MAX_ENTRY = 2048


class UserLocation(Echo, tag="approximate", tag_field="type", frozen=True):
    """Roughly where the user is. ``country`` is an ISO 3166-1 code, ``timezone`` an IANA name."""

    city: _Place | None = None
    region: _Place | None = None
    country: Annotated[str, Meta(max_length=2, pattern="^[A-Z]{2}$(?!\n)")] | None = None
    timezone: _Place | None = None


class AllUrls(Echo, tag="all", tag_field="type", frozen=True):
    """Every URL from this source."""


class NoUrls(Echo, tag="none", tag_field="type", frozen=True):
    """No URL from this source."""


class ToolReference(Echo, tag="tool_reference", tag_field="type", frozen=True):
    """One tool by its name, compared exactly."""

    name: str


_References: TypeAlias = Annotated[list[ToolReference], Meta(min_length=1, max_length=128)]


class OnlyTools(Echo, tag="only", tag_field="type", frozen=True):
    """URLs from the results of these tools."""

    tools: _References


class ExceptTools(Echo, tag="except", tag_field="type", frozen=True):
    """URLs from the results of all tools but these."""

    tools: _References


_Shorthand: TypeAlias = Literal["all", "none"]
_UserFilter: TypeAlias = AllUrls | NoUrls
_ToolFilter: TypeAlias = AllUrls | NoUrls | OnlyTools | ExceptTools


class UrlSourcesIn(Wire):
    """Which URLs may be fetched, by where the model has seen them; as sent. Omitted or null is all."""

    user_input: _Shorthand | _UserFilter | None = None
    client_tool_results: _Shorthand | _ToolFilter | None = None
    server_tool_results: _Shorthand | _ToolFilter | None = None


class UrlSources(Struct, frozen=True, kw_only=True):
    """Which URLs may be fetched, in the object form; null was not set and is all."""

    user_input: _UserFilter | None
    client_tool_results: _ToolFilter | None
    server_tool_results: _ToolFilter | None


def check_domains(where: str, allowed: Sequence[str] | None, blocked: Sequence[str] | None, *, paths: bool) -> None:
    """One list at most, of public host names (with a path, if ``paths``). InvalidRequest names the list and the index."""
    if allowed is not None and blocked is not None:
        raise InvalidRequest(f"{where}: allowed_domains and blocked_domains cannot be combined")
    for name, entries in (("allowed_domains", allowed), ("blocked_domains", blocked)):
        for index, entry in enumerate(entries or ()):
            if not _is_domain(entry, paths=paths):
                without = "scheme or port" if paths else "scheme, port or path"
                raise InvalidRequest(
                    f"{where}.{name}.{index}: must be a plain public hostname such as docs.example.com, without {without}"
                )


def _is_domain(entry: str, *, paths: bool) -> bool:
    """Two labels or more, the last neither a number (an address) nor this machine. Which suffixes are public is not known here."""
    host, slash, rest = entry.partition("/")
    if slash and not (paths and len(entry) <= _MAX_ENTRY and _PATH.fullmatch(slash + rest)):
        return False
    match = _HOST.fullmatch(host)
    if match is None or len(host) > 253:
        return False
    return not _NUMBER.fullmatch(match[1]) and match[1].lower() not in _LOCAL


def resolve_sources(where: str, given: UrlSourcesIn | None, custom_tools: Sequence[str]) -> UrlSources | None:
    """The object form. InvalidRequest if nothing could be fetched, or for a name that is not among the tools."""
    if given is None:
        return None
    user = given.user_input
    if isinstance(user, str):
        user = AllUrls() if user == "all" else NoUrls()
    client = _resolve_filter(
        f"{where}.client_tool_results", given.client_tool_results, custom_tools, "a custom tool in tools"
    )
    server = _resolve_filter(
        f"{where}.server_tool_results",
        given.server_tool_results,
        ("web_search", "web_fetch"),
        "web_search or web_fetch",
    )
    if all(isinstance(source, NoUrls) for source in (user, client, server)):
        raise InvalidRequest(f"{where}: at least one source must not be none")
    return UrlSources(user_input=user, client_tool_results=client, server_tool_results=server)


def _resolve_filter(
    where: str, given: _Shorthand | _ToolFilter | None, names: Sequence[str], expected: str
) -> _ToolFilter | None:
    if isinstance(given, str):
        return AllUrls() if given == "all" else NoUrls()
    if isinstance(given, OnlyTools | ExceptTools):
        seen: set[str] = set()
        for index, reference in enumerate(given.tools):
            at = f"{where}.tools.{index}.name"
            if reference.name not in names:
                raise InvalidRequest(f'{at}: "{reference.name}" is not {expected}')
            if reference.name in seen:
                raise InvalidRequest(f'{at}: "{reference.name}" is named twice')
            seen.add(reference.name)
    return given
