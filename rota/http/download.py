"""A file going out: as an attachment, whole or one range of it.

Promises: a browser saves what comes instead of showing or running it, whatever its type claims (``attachment``, ``nosniff``,
a policy that allows nothing); any name is sent safely; a ``Range`` is served as RFC 9110 says (one range; several are
answered with the whole file, which it allows).
"""

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

from rota.base.errors import RangeNotSatisfiable
from rota.http.request import Reply, Request

_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}(;[ -~]{0,200})?", re.ASCII)


def attachment(req: Request, location: str, *, filename: str, media_type: str, size: int) -> Reply:
    """The object at ``location``, of ``size`` bytes, as a file to be saved. RangeNotSatisfiable."""
    headers = [
        (b"content-disposition", f"attachment; filename*=utf-8''{quote(filename, safe='')}".encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"default-src 'none'; sandbox"),
        (b"accept-ranges", b"bytes"),
    ]
    start, end = 0, size
    asked = _range(req.header(b"range") or "", size)
    if asked is not None:
        start, end = asked
        headers.append((b"content-range", f"bytes {start}-{end - 1}/{size}".encode()))
    kind = media_type if _MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream"
    return Reply(
        content_type=kind.encode(),
        status=200 if asked is None else 206,
        headers=tuple(headers),
        chunks=_upto(req.blobs.read(location, start=start), end - start),
        length=end - start,
    )


def _range(text: str, size: int) -> tuple[int, int] | None:
    """Where a range begins and what is after its end; None for the whole file. RangeNotSatisfiable."""
    match = _RANGE.fullmatch(text)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
        impossible = int(match[2]) == 0 or size == 0
    else:
        start = int(match[1])
        end = min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
        impossible = start >= size
    if impossible:
        raise RangeNotSatisfiable(f"range: the file has {size} bytes", headers={"content-range": f"bytes */{size}"})
    return start, end


async def _upto(chunks: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:
    """The first ``length`` bytes."""
    try:
        async for chunk in chunks:
            if len(chunk) >= length:
                yield chunk[:length] if len(chunk) > length else chunk
                return
            length -= len(chunk)
            yield chunk
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
