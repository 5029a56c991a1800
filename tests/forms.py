"""Forms (``multipart/form-data``) as clients write them."""

from collections.abc import Sequence
from typing import NamedTuple

BOUNDARY = "----rota-test-7f3a9c"


class Field(NamedTuple):
    """One part. ``filename=None``: a plain field; ``content_type=""``: none is sent."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: str = ""


def file(content: bytes, filename: str | None = "a.txt", content_type: str = "text/plain", name: str = "file") -> Field:
    """A part with a file."""
    return Field(name, content, filename, content_type)


def encode(fields: Sequence[Field], boundary: str = BOUNDARY) -> tuple[bytes, str]:
    """The body and its content type."""
    lines: list[bytes] = []
    for field in fields:
        head = f'Content-Disposition: form-data; name="{field.name}"'
        if field.filename is not None:
            head += f'; filename="{field.filename}"'
        lines += [f"--{boundary}".encode(), head.encode()]
        if field.content_type:
            lines.append(f"Content-Type: {field.content_type}".encode())
        lines += [b"", field.content]
    lines += [f"--{boundary}--".encode(), b""]
    return b"\r\n".join(lines), f"multipart/form-data; boundary={boundary}"
