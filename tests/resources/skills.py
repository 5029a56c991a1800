"""Skills as clients upload them, in both lanes."""

from typing import Any

from tests.api import Api, Response
from tests.forms import Field, file
from tests.resources.zips import manifest

DATED = {"anthropic-beta": "skills-2025-10-02"}
NEVER = "01AAAAAAAAAAAAAAAAAAAAAA"


def form(*files: tuple[str, bytes], **fields: str) -> list[Field]:
    """The form with these files; without any, with one good SKILL.md."""
    parts = [file(data, path, "application/octet-stream", name="files[]") for path, data in files]
    return [
        *(parts or form(("my-skill/SKILL.md", manifest()))),
        *(Field(name, text.encode()) for name, text in fields.items()),
    ]


def upload(api: Api, *files: tuple[str, bytes], to: str = "/v1/skills", dated: bool = False, **fields: str) -> Response:
    """One upload."""
    return api.post(to, form=form(*files, **fields), headers=DATED if dated else {})


def skill(
    api: Api, name: str = "my-skill", *more: tuple[str, bytes], dated: bool = False, **fields: str
) -> dict[str, Any]:
    """A new skill of this name."""
    return upload(api, (f"{name}/SKILL.md", manifest(name)), *more, dated=dated, **fields).ok()


def version(api: Api, of: dict[str, Any], text: bytes = b"more", *, dated: bool = False) -> dict[str, Any]:
    """A new version of a skill called my-skill."""
    files = [("my-skill/SKILL.md", manifest()), ("my-skill/notes.md", text)]
    return upload(api, *files, to=f"/v1/skills/{of['id']}/versions", dated=dated).ok()
