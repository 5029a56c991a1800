"""The only place where an error body is written.

Promises: every error has the documented envelope with its request id; deterministic refusals carry ``x-should-retry:
false``, because official clients otherwise repeat a 409 for nothing; a Fault shows a fixed sentence and never its cause.
"""

from typing import Any

from rota.base.errors import Fault, Refusal
from rota.base.wire import encode
from rota.http.request import Reply


def reply(error: BaseException, request_id: str) -> Reply:
    """The response for whatever went wrong."""
    headers: list[tuple[bytes, bytes]] = []
    members: dict[str, str] = {}
    if isinstance(error, Refusal):
        status, kind, message, details, members = error.status, error.type, error.message, error.details, error.members
        if error.retry is not None:
            headers.append((b"x-should-retry", b"true" if error.retry else b"false"))
        headers += [(name.encode(), value.encode()) for name, value in error.headers.items()]
    else:
        fault = error if isinstance(error, Fault) else Fault()
        status, kind, message, details = fault.status, fault.type, fault.sentence, None
        if fault.retry_after is not None:
            headers.append((b"retry-after", str(fault.retry_after).encode()))
    inner: dict[str, Any] = {"type": kind, "message": message, **members}
    if details:
        inner["details"] = details
    if status == 413:
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    body = encode({"type": "error", "error": inner, "request_id": request_id})
    return Reply(body, status=status, headers=tuple(headers))
