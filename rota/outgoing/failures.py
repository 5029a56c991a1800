"""How a request to another host can end without an answer. Callers branch on the class.

Promises: a message names the host and the reason, and never holds a path, a query, a header or a byte of any body, since
those may be secrets.
"""


class OutgoingFailure(Exception):
    """There is no answer."""


class ForbiddenAddress(OutgoingFailure):
    """The URL is not of a form that is asked, or its host is or leads to an address that may not be; nothing was sent."""


class Unreachable(OutgoingFailure):
    """The host has no address, does not take the connection, has no valid certificate, or does not speak HTTP."""


class TimedOut(OutgoingFailure):
    """The answer was not complete in time."""


class TooLarge(OutgoingFailure):
    """The answer is longer than whoever asked would take."""
