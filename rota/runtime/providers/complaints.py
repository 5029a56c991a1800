"""What an endpoint complains about: error answers of the Messages API and of those who imitate it, read for what they mean.

Status and error type decide where they can. The rest is in sentences that every vendor words in its own way, so they are looked for
here and nowhere else; what is not recognized is passed on as it is.
"""

import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

from rota.runtime.provider import ProviderFailure
from rota.runtime.providers.body import Option
from rota.runtime.providers.failures import failure

_TOO_LONG: Final = re.compile(
    r"prompt is too long|input is too long|exceed_context_size"
    r"|exceeds? (?:the )?(?:available |maximum |model'?s )*context|maximum context length|context (?:length|window) exceeded",
    re.IGNORECASE,
)
_UNPAID: Final = re.compile(
    r"credit balance is too low|spend(?:ing)?[ _]limit|insufficient[ _](?:quota|balance|credits|funds)", re.IGNORECASE
)
_SIGNATURES: Final = re.compile(r"\bsignature", re.IGNORECASE)
_NAMES: Final[dict[Option, re.Pattern[str]]] = {
    "thinking": re.compile(r"\bthinking\b", re.IGNORECASE),
    "effort": re.compile(r"effort|output_config", re.IGNORECASE),
    "speed": re.compile(r"\bspeed\b|fast[ -]mode|anthropic-beta|beta header", re.IGNORECASE),
    "cache": re.compile(r"cache_control|prompt caching", re.IGNORECASE),
}
_ADDRESS: Final = re.compile(r"\bhttps?://[^\s\"'<>]+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b")
_SHOWN: Final = 500


def refused(status: int, body: object) -> frozenset[Option]:
    """The parts of a request that the answer says the endpoint does not take."""
    text = str(body)
    if status not in (400, 422) or _TOO_LONG.search(text):
        return frozenset()
    if _SIGNATURES.search(text):  # names thinking as well, and means what was thought before
        return frozenset({"thoughts"})
    return frozenset(option for option, name in _NAMES.items() if name.search(text))


def failed(
    status: int, body: object, headers: Mapping[str, str], *, model: str, clean: Callable[[str], str]
) -> ProviderFailure:
    """The failure that an error answer means. ``clean`` takes out of the endpoint's words what must not be shown."""
    kind, said = _kind(body), clean(words(body))
    if status < 300:  # an error in the middle of a stream that had begun well
        status = 400 if kind == "invalid_request_error" else 500
    if status < 500 and _UNPAID.search(str(body)):
        kind = "billing_error"
    elif status in (400, 413, 422) and _TOO_LONG.search(str(body)):
        kind = "request_too_large"
    found = failure(status, model=model, kind=kind, said=said, retry_after=retry_after(headers))
    if headers.get("x-should-retry") == "false":
        found.retry = False
    return found


def words(body: object) -> str:
    """The sentence in an error's body, wherever this endpoint puts it."""
    if not isinstance(body, dict):
        return str(body or "")
    found = cast("dict[str, Any]", body)
    inner = found.get("error")
    if isinstance(inner, dict):
        found = cast("dict[str, Any]", inner)
    elif isinstance(inner, str):
        return inner
    said = next((found[name] for name in ("message", "Message", "detail") if found.get(name)), "")
    return said if isinstance(said, str) else str(said)


def presentable(text: str) -> str:
    """Text of an endpoint as clients may see it: no addresses, one line, not too long."""
    line = " ".join(_ADDRESS.sub("[address]", text).split())
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds until the endpoint wants to be asked again, if it says so. A moment is measured by the endpoint's own clock."""
    if (found := _number(headers.get("retry-after-ms"))) is not None:
        return found / 1000
    if (found := _number(headers.get("retry-after"))) is not None:
        return found
    try:
        moment = parsedate_to_datetime(headers["retry-after"]) - parsedate_to_datetime(headers["date"])
    except (KeyError, TypeError, ValueError):
        return None
    return max(0.0, moment.total_seconds())


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if 0 <= found < float("inf") else None


def _kind(body: object) -> str | None:
    inner = cast("dict[str, Any]", body).get("error") if isinstance(body, dict) else None
    kind = cast("dict[str, Any]", inner).get("type") if isinstance(inner, dict) else None
    return kind if isinstance(kind, str) else None
