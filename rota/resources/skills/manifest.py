"""SKILL.md: what a skill says about itself at the top of its main file.

Promises: front matter is read as text and nothing else; no YAML value becomes an object, an alias is never expanded, and a
key that is there twice is refused, because two readers would take different ones. What is accepted follows the published
rules of the Agent Skills format (contract, skills); refusals are in the recorded words where there are any.
Does not read the body of the file, and does not mind keys that it does not know: other products have more of them.
"""

import codecs
import re
from typing import Any, Final

from msgspec import Struct

from rota.base.errors import InvalidRequest
from rota.resources.skills.paths import shown

FILE: Final = "SKILL.md"
MAX_FRONT_MATTER: Final = 8 * 1024
"""Bytes. A description has at most 1,024 characters, and the YAML library takes half a second over 16 KB of brackets."""
MAX_NAME: Final = 64
MAX_DESCRIPTION: Final = 1024
RESERVED: Final = ("anthropic", "claude")

_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)(?<=\n)---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_NAME = re.compile(r"[a-z0-9-]+")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_CORE = "tag:yaml.org,2002:"
_PLAIN = frozenset(_CORE + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge"))
"""What a value may be taken for; as sent, ``2026`` and ``yes`` are texts like any other."""


class Manifest(Struct, frozen=True):
    """A skill's name (lower case, at most 64 characters) and what it is good for (at most 1,024)."""

    name: str
    description: str


def read(head: bytes, folder: str) -> Manifest:
    """The manifest in the first bytes of a SKILL.md that lies in ``folder``, whose name the skill has if it gives none.

    ``head`` is the whole file, or at least ``MAX_FRONT_MATTER`` bytes and a few more. InvalidRequest.
    """
    fields = _fields(_front_matter(head))
    name = fields.get("name") or _slug(folder)
    _check_name(name)
    if _slug(folder) != name:
        raise InvalidRequest(f"The folder name '{folder}' must match the skill name '{name}' in SKILL.md.")
    description = (fields.get("description") or "").strip()
    _check_description(description)
    return Manifest(name, description)


def _front_matter(head: bytes) -> str:
    try:
        decoder = codecs.getincrementaldecoder("utf-8")()
        text = decoder.decode(head[:MAX_FRONT_MATTER], final=len(head) <= MAX_FRONT_MATTER)
    except UnicodeDecodeError:
        raise InvalidRequest("SKILL.md must be UTF-8 text") from None
    if not re.match(r"\ufeff?---[ \t]*\r?\n", text):
        raise InvalidRequest("SKILL.md must start with YAML frontmatter (---)")
    found = _FRONT_MATTER.match(text)
    if found is None:
        raise InvalidRequest(
            f"The YAML frontmatter of SKILL.md must end with a line --- within its first {MAX_FRONT_MATTER // 1024} KB"
        )
    return found[1]


def _fields(text: str) -> dict[str, str]:
    """The plain values at the top of the front matter, as text. Null is as good as absent."""
    import yaml  # 20 ms and 2 MB that only those pay who upload a skill

    try:
        # The pure Python loader on every machine, so that the same text means the same everywhere; composed to nodes only.
        root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as exc:
        where = getattr(exc, "problem_mark", None)
        line = f" (line {where.line + 2})" if where is not None else ""
        raise InvalidRequest(f"The frontmatter of SKILL.md is not valid YAML{line}") from None
    if not isinstance(root, yaml.MappingNode):
        raise InvalidRequest(
            "The frontmatter of SKILL.md must be a list of keys and values, such as name: and description:"
        )
    fields: dict[str, str] = {}
    seen: set[str] = set()
    for key, value in root.value:
        if not isinstance(key, yaml.ScalarNode):
            raise InvalidRequest("The keys in the frontmatter of SKILL.md must be plain words")
        if key.value in seen:
            raise InvalidRequest(f"The frontmatter of SKILL.md has the key {shown(key.value)} twice")
        seen.add(key.value)
        if key.value in ("name", "description"):
            if not isinstance(value, yaml.ScalarNode) or value.tag not in _PLAIN:
                raise InvalidRequest(f"field '{key.value}' in SKILL.md must be text")
            if value.tag != _CORE + "null":
                fields[key.value] = value.value
    return fields


def _slug(folder: str) -> str:
    """A folder's name as a skill's: hosted skills may lie in a folder with capitals and underscores."""
    return folder.lower().replace("_", "-")


def _check_name(name: str) -> None:
    if len(name) > MAX_NAME:
        raise InvalidRequest(f"field 'name' in SKILL.md must be at most {MAX_NAME} characters")
    if not _NAME.fullmatch(name):
        suggestion = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "my-skill"
        raise InvalidRequest(
            f"Skill name in SKILL.md can only contain lowercase letters, numbers, and hyphens. Try '{suggestion}'."
        )
    for word in RESERVED:
        if word in name:
            raise InvalidRequest(f"Skill name in SKILL.md cannot contain the reserved word '{word}'.")


def _check_description(description: str) -> None:
    if not description:
        raise InvalidRequest("field 'description' in SKILL.md is required")
    if len(description) > MAX_DESCRIPTION:
        raise InvalidRequest(f"field 'description' in SKILL.md must be at most {MAX_DESCRIPTION} characters")
    if _TAG.search(description):
        raise InvalidRequest("SKILL.md description cannot contain XML tags")
    if _CONTROL.search(description):
        raise InvalidRequest("SKILL.md description cannot contain control characters")
