"""Which provider the settings mean, and that one.

Promises: says at once, as Unusable, what cannot work; never falls back to the scripted model where a key or an address is
configured; says in the log which provider it is, loudly when no model will be asked.
"""

from collections.abc import Callable
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from rota.base import log
from rota.base.errors import Unusable
from rota.base.settings import Settings
from rota.runtime.provider import Provider
from rota.runtime.providers.anthropic import Anthropic
from rota.runtime.providers.script import MARK, is_script
from rota.runtime.providers.scripted import Scripted

if TYPE_CHECKING:
    from rota.runtime.providers.anthropic import Client

Name: TypeAlias = Literal["anthropic", "bedrock", "vertex", "scripted"]
VENDOR: Final = "https://api.anthropic.com"
_CONNECT_SECONDS: Final = 10.0
_log = log.get("models")


def choose(settings: Settings) -> Name:
    """The provider that the settings mean. Unusable if they do not fit together."""
    name = settings.model_provider
    if name is None:
        name = "anthropic" if settings.model_api_key or settings.model_base_url else "scripted"
    if settings.model_base_url:
        _check(settings.model_base_url)
    match name:
        case "anthropic" if not (settings.model_api_key or settings.model_base_url):
            raise Unusable(
                "The model provider is anthropic, and there is neither a key nor an address. Set ROTA_MODEL_API_KEY, or "
                "ROTA_MODEL_BASE_URL for an endpoint that needs no key, or ROTA_MODEL_PROVIDER=scripted."
            )
        case "bedrock" if find_spec("botocore") is None:
            raise Unusable(
                "The model provider bedrock needs a package that is not installed: pip install 'rota[bedrock]'"
            )
        case "vertex" if not settings.model_api_key and not _installed("google.auth"):
            raise Unusable(
                "The model provider vertex needs a package that is not installed: pip install 'rota[vertex]'"
            )
        case _:
            return name


def open_provider(settings: Settings) -> Provider:
    """The provider that the settings mean. Unusable if it cannot be had."""
    name = choose(settings)
    if name == "scripted":
        ignored = "; the key that is configured is not used" if settings.model_api_key else ""
        _log.warning(
            "NO MODEL IS ASKED: replies are made up by rule and say so (scripted). For a real one set ROTA_MODEL_API_KEY or "
            f"ROTA_MODEL_BASE_URL{ignored}",
            provider=name,
        )
        return Scripted(_script(settings))
    connect = _connection(name, settings)
    if (
        name != "anthropic"
    ):  # what a cloud needs is scattered over its environment: a start is the time to say that it is not there
        try:
            made = connect()
        except Exception as exc:
            raise Unusable(f"The model provider {name} cannot be used: {log.redact(str(exc))}") from None
        connect = lambda: made  # noqa: E731 - one that is there already
    _log.info("models are asked", provider=name, at=urlsplit(settings.model_base_url or VENDOR).netloc or name)
    secrets = (settings.model_api_key,) if settings.model_api_key else ()
    return Anthropic(name, connect, max_tokens=settings.model_max_tokens, secrets=secrets)


def _script(settings: Settings) -> str | None:
    """The script that is played where a conversation has none."""
    if settings.model_script is None:
        return None
    path = Path(settings.model_script)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise Unusable(f"ROTA_MODEL_SCRIPT: {path} cannot be read: {exc}") from None
    if not is_script(text):
        raise Unusable(f"ROTA_MODEL_SCRIPT: the first line of {path} is not {MARK}")
    return text


def _connection(name: Name, settings: Settings) -> "Callable[[], Client]":
    """How the SDK's client is made: no retries (the engine's), no redirects (they would carry the key elsewhere), and no
    proxy on the way to this very machine."""

    def connect() -> "Client":
        import anthropic  # two seconds; called beside the loop

        base_url = _base(settings.model_base_url) if settings.model_base_url else None
        options: dict[str, Any] = {
            "base_url": base_url,
            "max_retries": 0,
            "timeout": anthropic.Timeout(settings.model_silence_seconds, connect=_CONNECT_SECONDS),
            "http_client": anthropic.DefaultAsyncHttpxClient(
                follow_redirects=False, trust_env=not (base_url and _is_here(base_url))
            ),
        }
        key = settings.model_api_key
        match name:
            case "bedrock":
                from anthropic.lib.bedrock import AsyncAnthropicBedrock  # an optional extra

                return AsyncAnthropicBedrock(api_key=key, **options)
            case "vertex":
                from anthropic.lib.vertex import AsyncAnthropicVertex  # an optional extra

                return AsyncAnthropicVertex(access_token=key, **options)
            case _:
                headers: dict[str, Any] = {}
                if base_url is None:
                    options["base_url"] = VENDOR  # and not what the SDK's own variable may say
                else:  # the SDK sends a bearer token; some that imitate the API know only the header that it had before
                    headers = {"x-api-key": key} if key else {"Authorization": anthropic.omit}
                return anthropic.AsyncAnthropic(api_key=key or "none", default_headers=headers, **options)

    return connect


def _check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unusable(f"ROTA_MODEL_BASE_URL is no http or https URL: {log.redact(url)}")
    if parts.username is not None or parts.password is not None:
        raise Unusable("ROTA_MODEL_BASE_URL holds a user or a password. Put the key into ROTA_MODEL_API_KEY.")


def _base(url: str) -> str:
    """The URL to which the API's paths are added; many write it with the version, which is in those paths."""
    return url.rstrip("/").removesuffix("/v1")


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
