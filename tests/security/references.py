"""Where a request can name a thing: found in the Structs of the route table, so that a new field is met without being listed.

A place in a body or a query refers to something if its name says so (``vault_ids``), or if it has the shape of an id. Bodies
that have an id at a place are built from the Structs too: whatever must be there, in its smallest form.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from msgspec import Struct, inspect

from rota.http.route import Route

Step: TypeAlias = "tuple[type, str] | None"
"""A field of a Struct, or None for an item of a list."""

NOUNS = {"session_thread": "thread", "scope": "session", "tool_use": "event", "custom_tool_use": "event"}
"""Fields that are named otherwise than the thing that they refer to."""
NOWHERE = {
    "external_key": "a key that is held outside; refused whatever it is",
    "user_profile": "nobody has a profile here; refused whatever it is",
    "client": "how another server knows us",
    "created_by_user": "nobody is a user here; a filter that leaves nothing",
    "service_account": "nothing has an identity of its own here; a filter that leaves nothing",
}
"""Fields that name things which this server does not have, and what becomes of them."""
NEIGHBOURS = ("after", "before")
"""Query fields that name a row of the very list that is asked for."""
_BY_NAME = re.compile(r"(\w+?)_ids?$")
_AGENTS = frozenset({"agent", "agents", "predefined_agents"})


@dataclass(frozen=True)
class Place:
    """A place that takes an id. ``noun`` is what it refers to, in the singular; empty for the list's own rows."""

    route: str
    kind: type
    steps: tuple[Step, ...]
    noun: str

    @property
    def name(self) -> str:
        """The place as people write it: ``resources[].file_id``."""
        return "".join("[]" if step is None else f".{step[1]}" for step in self.steps).lstrip(".")

    @property
    def variant(self) -> str:
        """The place and the kinds of object on the way, which tells apart what ``name`` does not."""
        return " ".join("[]" if step is None else f"{step[0].__name__}.{step[1]}" for step in self.steps)


def body_places(route: Route) -> list[Place]:
    """The places in a route's body that take an id."""
    return _places(route, route.body) if route.body is not None else []


def query_places(route: Route) -> list[Place]:
    """The fields of a route's query that take an id; those that this server has no things for are left out."""
    return _places(route, route.query) if route.query is not None else []


def nowhere_nouns(route: Route) -> set[str]:
    """What the route's fields name that this server does not have."""
    kinds = [kind for kind in (route.body, route.query) if kind is not None]
    return {noun for kind in kinds for _, noun in _walk(inspect.type_info(kind), (), ()) if noun in NOWHERE}


def _places(route: Route, kind: type) -> list[Place]:
    found = dict.fromkeys(
        Place(route.name, kind, steps, noun)
        for steps, noun in _walk(inspect.type_info(kind), (), ())
        if noun not in NOWHERE
    )
    return list(found)


def _walk(
    node: inspect.Type, steps: tuple[Step, ...], above: tuple[type, ...]
) -> Iterator[tuple[tuple[Step, ...], str]]:
    if isinstance(node, inspect.UnionType):
        for each in node.types:
            yield from _walk(each, steps, above)
    elif isinstance(node, inspect.Metadata):
        yield from _walk(node.type, steps, above)
    elif isinstance(node, inspect.ListType):
        yield from _walk(node.item_type, (*steps, None), above)
    elif isinstance(node, inspect.StructType) and node.cls not in above:
        for field in node.fields:
            yield from _walk(field.type, (*steps, (node.cls, field.encode_name)), (*above, node.cls))
    elif isinstance(node, inspect.StrType) and steps:
        noun = _noun(steps)
        if noun is not None:
            yield steps, noun


def _noun(steps: tuple[Step, ...]) -> str | None:
    """What a text at a place names; None if it is just a text."""
    names = [step[1].removesuffix("[]") for step in steps if step is not None]
    if names[-1] in _AGENTS or (len(names) > 1 and names[-1] == "id" and names[-2] in _AGENTS):
        return "agent"
    if names[-1] == "ids":
        return ""
    if match := _BY_NAME.match(names[-1]):
        stem = match[1]
        return "" if stem in NEIGHBOURS else NOUNS.get(stem, stem)
    return None


def looks_like_an_id(route: Route) -> Iterator[str]:
    """Places of the shape that ids have (the alias ``base.wire.Id``), whatever their names are."""
    if route.body is None:
        return
    todo: list[tuple[inspect.Type, str]] = [(inspect.type_info(route.body), "")]
    seen: set[tuple[Any, str]] = set()
    while todo:
        node, path = todo.pop()
        if isinstance(node, inspect.UnionType):
            todo += [(each, path) for each in node.types]
        elif isinstance(node, inspect.Metadata):
            todo.append((node.type, path))
        elif isinstance(node, inspect.ListType):
            todo.append((node.item_type, f"{path}[]"))
        elif isinstance(node, inspect.StructType) and (node.cls, path) not in seen and path.count(".") < 12:
            seen.add((node.cls, path))
            todo += [(field.type, f"{path}.{field.encode_name}".lstrip(".")) for field in node.fields]
        elif isinstance(node, inspect.StrType) and (node.min_length, node.max_length) == (1, 128):
            yield path


Real: TypeAlias = Callable[[str], str]
"""The id of a real thing by its noun."""


def plant(place: Place, value: str, real: Real) -> dict[str, Any]:
    """The least body (or query) of the place's Struct that has ``value`` at the place."""
    return _build(inspect.type_info(place.kind), place.steps, value, real, ())


def smallest(kind: type, real: Real) -> Any:
    """The least body of a kind that is complete."""
    return _smallest(inspect.type_info(kind), real, ())


SAMPLES: dict[str, Any] = {
    "url": "https://hooks.invalid/",
    "RepositoryParam.url": "https://github.com/acme/site",
    "mcp_server_url": "https://mcp.invalid/sse",
    "token_endpoint": "https://mcp.invalid/token",
    "expression": "0 2 * * *",
    "timezone": "Europe/Berlin",
    "amount": "500",
    "sha": "0123abc",
    "media_type": "text/plain",
    "data": "aGVsbG8=",
    "model": "claude-opus-5-5",
    "path": "/notes.md",
}
"""Texts that must have a form, by the names of their fields. No host that is asked for anything exists."""


def _build(node: inspect.Type, steps: tuple[Step, ...], value: str, real: Real, names: tuple[str, ...]) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    for each in _open(node):
        if step is None and isinstance(each, inspect.ListType):
            return [_build(each.item_type, rest, value, real, names)]
        if step is not None and isinstance(each, inspect.StructType) and each.cls is step[0]:
            below = next(field for field in each.fields if field.encode_name == step[1])
            others = _smallest_struct(each, real, names, without=step[1])
            return {**others, step[1]: _build(below.type, rest, value, real, (*names, step[1]))}
    raise AssertionError(f"no way to {steps}")


def _open(node: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(node, inspect.UnionType):
        for each in node.types:
            yield from _open(each)
    elif isinstance(node, inspect.Metadata):
        yield from _open(node.type)
    else:
        yield node


def _smallest_struct(
    node: inspect.StructType, real: Real, names: tuple[str, ...], *, without: str | None = None
) -> dict[str, Any]:
    found: dict[str, Any] = {} if node.tag is None else {str(node.tag_field): node.tag}
    for field in node.fields:
        if field.required and field.encode_name != without:
            sample = SAMPLES.get(f"{node.cls.__name__}.{field.encode_name}")
            found[field.encode_name] = sample or _smallest(field.type, real, (*names, field.encode_name))
    return found


def _smallest(node: inspect.Type, real: Real, names: tuple[str, ...]) -> Any:
    [first, *_] = _open(node)
    name = names[-1] if names else ""
    match first:
        case inspect.StructType():
            return _smallest_struct(first, real, names)
        case inspect.ListType():
            return [_smallest(first.item_type, real, names)] * (first.min_length or 0)
        case inspect.LiteralType():
            return "custom" if "custom" in first.values else first.values[0]  # a prebuilt skill is everybody's
        case inspect.StrType():
            noun = _noun(tuple((Struct, each) for each in names))
            if noun and noun != "event":
                return real(noun)
            return SAMPLES.get(name) or "x" * max(first.min_length or 1, 1)
        case inspect.BoolType():
            return True
        case inspect.IntType() | inspect.FloatType():
            return first.ge or 1
        case inspect.DictType() | inspect.AnyType() | inspect.RawType():
            return {}
        case _:
            return None
