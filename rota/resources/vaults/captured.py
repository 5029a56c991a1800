"""What of another host's answer may be shown: cut short, and without the secrets that were sent to it.

Hosts that refuse a token like to quote it. Promises: none of the given secrets is in what comes out, as it is or in the
forms in which it travels; content that hides what it holds (compressed, or not text) is not shown at all.
"""

import json
from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from rota.base.log import redact
from rota.outgoing.client import Answer
from rota.resources.vaults.wire import HttpResponse

READ = 64 * 1024
"""How much of an answer is read, in bytes."""
SHOWN = 2048
"""How much of it is shown, in characters."""
_TYPE = 200
_GONE = "[redacted]"


def capture(answer: Answer, secrets: Iterable[str]) -> HttpResponse:
    """The answer as it may be shown."""
    secrets = sorted(secrets, key=len, reverse=True)  # a secret may be the beginning of another
    kind = _without(answer.header("content-type"), secrets)[:_TYPE]
    if answer.header("content-encoding").lower() not in ("", "identity"):
        return HttpResponse(answer.status, kind, "", body_truncated=True)
    try:
        body = answer.content.decode()
    except UnicodeDecodeError as exc:
        if not answer.cut or exc.end < len(answer.content):
            return HttpResponse(answer.status, kind, "", body_truncated=bool(answer.content))
        body = answer.content[: exc.start].decode()  # cut within a character
    shown = _without(body, secrets)
    return HttpResponse(answer.status, kind, shown[:SHOWN], body_truncated=answer.cut or len(shown) > SHOWN)


def _without(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        for form in _forms(secret):
            text = text.replace(form, _GONE)
    return redact(text)


def _forms(secret: str) -> list[str]:
    """A secret as it is, in a URL or form, in JSON, and in base64 wherever it may stand there."""
    found = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    raw = secret.encode()
    for shift in range(3):
        # Of the characters at both ends some belong to what stands beside the secret.
        text = b64encode(b"\0" * shift + raw).decode().rstrip("=")
        found.add(text[(0, 2, 3)[shift] : len(text) - (1 if (shift + len(raw)) % 3 else 0)])
    return sorted((form for form in found if len(form) >= 4), key=len, reverse=True)
