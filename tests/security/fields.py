"""The secret fields of the API, found by their mark, and bodies that hold one canary in each of them.

A field that is marked as ``Secret`` needs no line here: it is found by walking the types of every route's body, and bodies
are put together from those types. Only what a type cannot say (the id of a thing that exists, a URL) is told by name.
"""

from collections.abc import Iterator
from itertools import count, product
from typing import Any, NamedTuple

from msgspec import inspect

from rota import api
from rota.http.route import Route

Field = tuple[str, ...]
"""The way to a field: names, ``[]`` for a list's items, ``<tag>`` for a kind of object."""


def secret_fields(kind: Any) -> list[Field]:
    """Every marked field of a type."""
    return sorted(set(_walk(inspect.type_info(kind), ())))


def routes_with_secrets() -> list[tuple[Route, Field]]:
    """Every marked field of every route."""
    return [(route, field) for route in api.ROUTES if route.body is not None for field in secret_fields(route.body)]


def named_fields(kind: Any) -> Iterator[tuple[Field, bool]]:
    """Every field of a type that holds text, and whether it is marked."""
    yield from _texts(inspect.type_info(kind), (), frozenset())


def _is_secret(node: inspect.Type) -> bool:
    return isinstance(node, inspect.Metadata) and bool((node.extra_json_schema or {}).get("writeOnly"))


def _below(node: inspect.Type) -> Iterator[tuple[Field, inspect.Type]]:
    match node:
        case inspect.Metadata():
            yield (), node.type
        case inspect.UnionType():
            for each in node.types:
                yield (), each
        case inspect.ListType() | inspect.SetType():
            yield ("[]",), node.item_type
        case inspect.DictType():
            yield ("{}",), node.value_type
        case inspect.StructType():
            tag = (f"<{node.tag}>",) if node.tag_field else ()
            for field in node.fields:
                yield (*tag, field.encode_name), field.type
        case _:
            pass


def _walk(node: inspect.Type, at: Field) -> Iterator[Field]:
    if _is_secret(node):
        yield at
        return
    for steps, below in _below(node):
        yield from _walk(below, at + steps)


def _texts(node: inspect.Type, at: Field, seen: frozenset[type]) -> Iterator[tuple[Field, bool]]:
    if _is_secret(node):
        yield at, True
        return
    if isinstance(node, inspect.StrType):
        yield at, False
    if isinstance(node, inspect.StructType):
        if node.cls in seen:
            return
        seen |= {node.cls}
    for steps, below in _below(node):
        yield from _texts(below, at + steps, seen)


class _Blank(NamedTuple):
    """Where a canary goes."""

    at: Field


class Planter:
    """Puts bodies together. ``teach`` knows values for fields by name; ``prefix`` begins every canary."""

    def __init__(self, prefix: str, teach: dict[str, Any]) -> None:
        self.prefix = prefix
        self.teach = teach
        self.planted: dict[str, Field] = {}
        self._numbers = count()

    def bodies(self, kind: Any) -> list[dict[str, Any]]:
        """Bodies that together hold a canary in every marked field, and else only what must be there."""
        return [self._fill(shape) for shape in self._variants(inspect.type_info(kind), ())]

    def canary(self, at: Field) -> str:
        """A fresh one."""
        text = f"{self.prefix}-{next(self._numbers):04}-{at[-1].replace('_', '-')}"
        self.planted[text] = at
        return text

    def _fill(self, shape: Any) -> Any:
        """A shape with its blanks filled in: each canary once, and each lesson anew."""
        match shape:
            case _Blank(at):
                return self.canary(at)
            case dict():
                return {name: self._fill(value) for name, value in shape.items()}
            case list():
                return [self._fill(value) for value in shape]
            case _:
                return shape() if callable(shape) else shape

    def _variants(self, node: inspect.Type, at: Field) -> list[Any]:
        name = at[-1] if at else ""
        if _is_secret(node):
            return [_Blank(at)]
        leads = any(True for _ in _walk(node, ()))
        if not leads and name in self.teach:
            return [self.teach[name]]
        match node:
            case inspect.Metadata():
                return self._variants(node.type, at)
            case inspect.UnionType():
                arms = [arm for arm in node.types if not isinstance(arm, inspect.NoneType)]
                chosen = [arm for arm in arms if any(True for _ in _walk(arm, ()))] or arms[:1]
                return [value for arm in chosen for value in self._variants(arm, at)]
            case inspect.ListType():
                return [[value] for value in self._variants(node.item_type, (*at, "[]"))]
            case inspect.StructType():
                return self._objects(node, at)
            case inspect.LiteralType():
                return [node.values[0]]
            case inspect.StrType():
                return ["x" * max(1, node.min_length or 0)]
            case inspect.BoolType():
                return [True]
            case inspect.IntType() | inspect.FloatType():
                return [max(1, node.ge or 0)]
            case _:
                raise AssertionError(f"{'.'.join(at)}: say by name what could stand here ({node})")

    def _objects(self, node: inspect.StructType, at: Field) -> list[dict[str, Any]]:
        base = {node.tag_field: node.tag} if node.tag_field else {}
        tag = (f"<{node.tag}>",) if node.tag_field else ()
        fields = [each for each in node.fields if each.required or any(True for _ in _walk(each.type, ()))]
        choices = [self._variants(each.type, (*at, *tag, each.encode_name)) for each in fields]
        names = [each.encode_name for each in fields]
        return [base | dict(zip(names, values, strict=True)) for values in product(*choices)]
