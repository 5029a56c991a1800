"""What can go wrong, as classes: a Refusal is the caller's to mend, a Fault is ours.

Promises: each Refusal class fixes its wire ``type`` and HTTP status, so that a status is never chosen at the place where
something is refused; a message is one sentence that names the thing and says what would be accepted.
Does not build any HTTP body (``http/errors.py`` alone does) and knows nothing of deployment runs.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class Refusal(Exception):
    """The caller can act on it. ``message`` reaches the caller verbatim.

    ``details`` become ``error.details`` in the body (contract, errors: only where recorded); ``members`` stand in ``error``
    itself, beside ``type`` and ``message``.
    ``retry`` is what ``x-should-retry`` says; None sends no such header.
    ``headers`` are added to the response, for example ``retry-after``.
    """

    status: ClassVar[int] = 400
    type: ClassVar[str] = "invalid_request_error"
    retry: ClassVar[bool | None] = False

    def __init__(
        self, message: str, *, details: Mapping[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.members: dict[str, str] = {}
        self.headers = headers or {}


class InvalidRequest(Refusal):
    """The request's shape, a limit, or the state of the thing addressed forbids it (400)."""


class Unauthenticated(Refusal):
    """No credential, or one that is unknown, revoked or expired (401)."""

    status = 401
    type = "authentication_error"


class Forbidden(Refusal):
    """A good credential that may not do this (403)."""

    status = 403
    type = "permission_error"


class NotFound(Refusal):
    """Absent, or in another workspace: the two cannot be told apart (404)."""

    status = 404
    type = "not_found_error"


class MethodNotAllowed(Refusal):
    """The path exists, the method does not (405)."""

    status = 405


class Conflict(Refusal):
    """Lost against somebody else's change (409). Every recorded 409 but the two of memories is an ``invalid_request_error``."""

    status = 409


class InFlight(Conflict):
    """The same idempotency key is being served at this moment (409); this one may be retried."""

    retry = True


class MemoryPathConflict(Conflict):
    """A memory's path is taken, or lies above or below another's (409). The other one is named in ``error`` itself."""

    type = "memory_path_conflict_error"

    def __init__(self, message: str, *, path: str, memory_id: str) -> None:
        super().__init__(message)
        self.members = {"conflicting_path": path, "conflicting_memory_id": memory_id}


class MemoryPreconditionFailed(Conflict):
    """A memory no longer has the content that the caller expects it to have (409)."""

    type = "memory_precondition_failed_error"


class HeartbeatFailed(Refusal):
    """The lease of an item of work is not what its worker believes it to be (412). The details say what it is."""

    status = 412

    def __init__(self, message: str, *, last_heartbeat: str | None, state: str, ttl_seconds: int) -> None:
        current = {
            "last_heartbeat": last_heartbeat,
            "lease_extended": False,
            "state": state,
            "ttl_seconds": ttl_seconds,
        }
        super().__init__(message, details={"error_code": "heartbeat_precondition_failed", "current_state": current})


class TooLarge(Refusal):
    """The body is over the limit (413)."""

    status = 413
    type = "request_too_large"


class RangeNotSatisfiable(Refusal):
    """The bytes that were asked for lie behind the end of the file (416)."""

    status = 416


class RateLimited(Refusal):
    """Over a limit per minute (429). ``retry_after`` is in whole seconds."""

    status = 429
    type = "rate_limit_error"
    retry = None

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message, headers={"retry-after": str(retry_after)})
        self.retry_after = retry_after


class Archived(InvalidRequest):
    """A reference that must be live is archived (400)."""


class Fault(Exception):
    """Ours. The caller sees the class's fixed sentence and the request id; the log has the rest."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "api_error"
    sentence: ClassVar[str] = "Internal server error."
    retry_after: ClassVar[int | None] = None


class Unavailable(Fault):
    """The database cannot be reached or is busy; the same request may succeed later (503)."""

    status = 503
    type = "overloaded_error"
    sentence = "The database is not available at the moment; nothing was changed. Try again shortly."
    retry_after = 1


class Crowded(Unavailable):
    """So many long bodies are being read that one more would be too much for the machine's memory (503)."""

    sentence = "Too many long requests are being read at the moment; nothing was changed. Try again shortly."


class Unsure(Unavailable):
    """The connection broke while a commit was under way: it may or may not have been kept (503)."""

    sentence = (
        "The connection to the database was lost while saving; the change may or may not have been kept. "
        "Look before trying again, or repeat the request with an Idempotency-Key."
    )


class DiskFull(Unavailable):
    """The disk that holds the database is full; nothing of the request was kept (503)."""

    sentence = "The server's disk is full; nothing was changed. Free space on it, then try again."
    retry_after = 30


class SealedAway(Fault):
    """A stored secret cannot be opened, because its sealing key is not there (500). The text names the key."""

    sentence = (
        "A stored secret cannot be opened, because the server no longer has the key that it was sealed with. "
        "Its operator can put the key back; the server's log names it."
    )


class Unusable(Exception):
    """The server or a command cannot start as it is configured. The text says what is wrong and how to mend it."""
