"""What an HTTP status and its error type mean to a session: one table for every provider, real or scripted.

Promises: the sentences are ours and fit to be shown to clients; they name the remedy where an operator has one.
"""

from typing import Final, NamedTuple

from rota.runtime.provider import FailureKind, ProviderFailure


class _Meaning(NamedTuple):
    kind: FailureKind
    retry: bool
    sentence: str
    """``{model}`` and ``{status}`` are filled in."""
    explain: bool = False
    """Whether the provider's own words help whoever wrote the agent."""


_MEND: Final = "Whoever runs this server has to mend that."
_BUSY: Final = _Meaning("overloaded", True, "The model endpoint is overloaded ({status}).")
_MEANINGS: Final = {
    401: _Meaning("request_failed", False, f"The model endpoint does not accept this server's key (401). {_MEND}"),
    402: _Meaning("billing", False, f"The account at the model endpoint cannot pay for this request. {_MEND}"),
    403: _Meaning("request_failed", False, "The model endpoint does not let this server use {model} (403).", True),
    404: _Meaning("request_failed", False, "The model endpoint knows no model {model} (404).", True),
    408: _Meaning("request_failed", True, "The model endpoint gave up waiting for the request (408)."),
    409: _Meaning("request_failed", True, "The model endpoint was busy with another request (409)."),
    413: _Meaning("context_overflow", False, "The conversation is too long for {model}.", True),
    429: _Meaning("rate_limited", True, "The model endpoint limits the rate of requests (429)."),
    503: _BUSY,
    529: _BUSY,
}
_REDIRECT: Final = _Meaning(
    "request_failed", False, f"The model endpoint answers with a redirect ({{status}}). {_MEND}"
)
_REFUSED: Final = _Meaning("request_failed", False, "The model endpoint refuses the request ({status}).", True)
_FAILED: Final = _Meaning("request_failed", True, "The model endpoint failed ({status}).")
_STATUS: Final = {
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    # Bedrock's, in the middle of a stream
    "throttlingException": 429,
    "internalServerException": 500,
    "modelStreamErrorException": 500,
    "serviceUnavailableException": 503,
    "modelTimeoutException": 504,
}


def failure(
    status: int, *, model: str, kind: str | None = None, said: str = "", retry_after: float | None = None
) -> ProviderFailure:
    """The failure that a status means. ``kind`` is the error's type in the body, which says more than a status where there is
    one (an error in the middle of a stream has no other); ``said`` is the provider's own sentence, cleaned.
    """
    status = _STATUS.get(kind or "", status)
    meaning = _MEANINGS.get(status) or (_REDIRECT if status < 400 else _REFUSED if status < 500 else _FAILED)
    message = meaning.sentence.format(model=model, status=status)
    if said and meaning.explain:
        message += f" It says: {said}"
    return ProviderFailure(meaning.kind, message, retry=meaning.retry, retry_after=retry_after)
