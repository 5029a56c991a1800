"""Random instances of the Structs that routes take: mostly what fits, at the edges of what fits, with ids of real things in it."""

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec import inspect

from tests.security.hostile import texts
from tests.security.references import SAMPLES

REACH = 6
"""How deep optional fields are still filled in."""


class Instances:
    """Makes bodies and queries of a kind. ``real`` gives the id of some thing by its noun, or None."""

    def __init__(self, random: Random, real: Callable[[str], str | None]) -> None:
        self._random = random
        self._real = real

    def of(self, kind: type) -> Any:
        """One instance."""
        return self._make(inspect.type_info(kind), "", 0)

    def fields(self, kind: type) -> dict[str, Any]:
        """Some of a Struct's fields, each with a value of its own."""
        node = inspect.type_info(kind)
        assert isinstance(node, inspect.StructType)
        chosen = [field for field in node.fields if self._random.random() < 0.3]
        return {field.encode_name: self._make(field.type, field.encode_name, 1) for field in chosen}

    def _make(self, node: inspect.Type, name: str, depth: int) -> Any:
        random = self._random
        if random.random() < 0.01:
            return texts.value(random)
        match node:
            case inspect.UnionType():
                return self._make(random.choice(node.types), name, depth)
            case inspect.Metadata():
                return self._make(node.type, name, depth)
            case inspect.StructType():
                return self._struct(node, depth)
            case inspect.ListType():
                least = node.min_length or 0
                return [self._make(node.item_type, name, depth + 1) for _ in range(least + random.choice([0, 0, 1, 2]))]
            case inspect.DictType():
                return {
                    random.choice(["k", "a b", *texts.NAMES]): self._make(node.value_type, name, depth + 1)
                    for _ in range(random.choice([0, 1, 3]))
                }
            case inspect.LiteralType():
                return random.choice(node.values)
            case inspect.StrType():
                return self._text(node, name)
            case inspect.IntType() | inspect.FloatType():
                low, high = node.ge or 0, node.le or 2**31
                return random.choice([low, high, 1, low - 1, high + 1, random.randint(int(low), int(high))])
            case inspect.BoolType():
                return random.random() < 0.5
            case inspect.DateTimeType():
                return random.choice(["2026-03-02T12:00:00Z", "2026-03-02T12:00:00.123456+05:30", *texts.STRINGS[-30:]])
            case inspect.NoneType():
                return None
            case _:
                return texts.value(random)

    def _struct(self, node: inspect.StructType, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {} if node.tag is None else {str(node.tag_field): node.tag}
        for field in node.fields:
            if field.required or (depth < REACH and self._random.random() < 0.35):
                sample = SAMPLES.get(f"{node.cls.__name__}.{field.encode_name}")
                found[field.encode_name] = sample or self._make(field.type, field.encode_name, depth + 1)
        return found

    def _text(self, node: inspect.StrType, name: str) -> str:
        random = self._random
        if random.random() < 0.9 and (real := self._real(name)) is not None:
            return real
        if name in SAMPLES and random.random() < 0.9:
            return SAMPLES[name]
        if random.random() < 0.2:
            return random.choice(texts.STRINGS)[:5_000]
        least, most = node.min_length or 0, min(node.max_length or 50, 3_000)
        size = random.choice([least, least + 1, most, most + 1, random.randint(least, max(most, least))])
        return random.choice("aZ0 é漢😀") * size
