"""What a type of ours would have accepted at a place in a body, for the words of a refusal.

Works on the shapes alone: where several kinds of object could stand at a place, all that any of them accepts is named.
Does not see the body, and does not decide which words are used.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from msgspec import inspect

_STEPS = re.compile(r"\[\d+\]|[^.\[\]]+")


class Accepted(NamedTuple):
    """The tags that choose between objects at a place, and the values that a field there may have; both sorted."""

    tags: list[str]
    values: list[str]


@lru_cache(512)
def accepted(kind: type, path: str) -> Accepted:
    """What ``kind`` takes at ``path``, such as ``config.type`` or ``resources[0].access``; nothing for an unknown place."""
    nodes = list(_open(inspect.type_info(kind)))
    steps: list[str] = _STEPS.findall(path)
    for step in steps[:-1]:
        nodes = [below for node in nodes for below in _below(node, step)]
    last = steps[-1] if steps else ""
    tags = {str(node.tag) for node in nodes if isinstance(node, inspect.StructType) and node.tag_field == last}
    ends = [below for node in nodes for below in _below(node, last)]
    values = {str(value) for node in ends if isinstance(node, inspect.LiteralType) for value in node.values}
    return Accepted(sorted(tags), sorted(values))


def _open(node: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(node, inspect.UnionType):
        for each in node.types:
            yield from _open(each)
    elif isinstance(node, inspect.Metadata):
        yield from _open(node.type)
    else:
        yield node


def _below(node: inspect.Type, step: str) -> Iterator[inspect.Type]:
    if step.startswith("["):
        if isinstance(node, inspect.ListType):
            yield from _open(node.item_type)
    elif isinstance(node, inspect.StructType):
        for field in node.fields:
            if field.encode_name == step:
                yield from _open(field.type)
