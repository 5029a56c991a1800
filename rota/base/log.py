"""Logging for people and machines: one line an event, and no secret in any of them.

Promises: every string that leaves through here has been through ``redact``, the last net under code that already takes
care not to log credentials; ``json`` lines when asked, readable ones otherwise.
Does not decide what is worth logging.
"""

import logging
import re
import sys
from typing import Any

import structlog

_SECRETS = re.compile(
    r"sk-[A-Za-z]{2,12}-[\w-]{8,}"  # our keys and the vendor's
    r"|whsec_[\w+/=-]{8,}"
    r"|gh[pousr]_\w{16,}|github_pat_\w{20,}"
    r"|(?i:bearer\s+)[\w.~+/=-]{8,}"
    r"|(?i:(?:x-api-key|authorization)['\"]?\s*[:=]\s*['\"]?)[^\s'\",}]{4,}"
    r"|(?<=://)[^/@\s:]*:[^/\s]+(?=@)"  # user:password in a URL
    r"|(?i:password=)[^\s&'\"]+"
)


def redact(text: str) -> str:
    """``text`` with everything that looks like a credential replaced by ``[redacted]``."""
    return _SECRETS.sub("[redacted]", text)


def _redact_event(_logger: object, _method: str, event: "structlog.typing.EventDict") -> "structlog.typing.EventDict":
    return {key: redact(value) if isinstance(value, str) else value for key, value in event.items()}


def configure(*, level: str = "info", json: bool = False) -> None:
    """Set up logging once, at the start of a command. ``level`` is a standard level name."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def get(name: str) -> "structlog.typing.FilteringBoundLogger":
    """A logger whose lines carry ``name``."""
    return structlog.get_logger(source=name)
