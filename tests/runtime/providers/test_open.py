"""Which provider the settings mean."""

import asyncio
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from rota.base.errors import Unusable
from rota.base.settings import load
from rota.runtime.provider import ModelUsage, ProviderFailure, Reply
from rota.runtime.providers.open import choose, open_provider
from tests.runtime.providers.endpoint import Asked, endpoint, event, head, streams, whole
from tests.runtime.providers.talk import pieces, question, text, user

HELLO = question(user("Hello."))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "scripted"),
        ({"model_api_key": "k"}, "anthropic"),
        ({"model_base_url": "http://127.0.0.1:1"}, "anthropic"),
        ({"model_provider": "anthropic", "model_api_key": "k"}, "anthropic"),
        ({"model_provider": "scripted", "model_api_key": "k"}, "scripted"),
        ({"model_provider": "bedrock"}, "bedrock"),
        ({"model_provider": "vertex", "model_api_key": "k"}, "vertex"),
    ],
)
def test_the_settings_choose(given: dict[str, Any], name: str) -> None:
    assert choose(load(given, {})) == name


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"model_provider": "anthropic"}, "ROTA_MODEL_API_KEY"),
        ({"model_base_url": "models.example"}, "URL"),
        ({"model_base_url": "ftp://models.example"}, "URL"),
        ({"model_base_url": "https://user:hush@models.example"}, "ROTA_MODEL_API_KEY"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(given: dict[str, Any], says: str) -> None:
    with pytest.raises(Unusable, match=says) as refusal:
        open_provider(load(given, {}))
    assert "hush" not in str(refusal.value)


def test_a_cloud_s_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rota.runtime.providers.open.find_spec", lambda _name: None)
    for name in ("bedrock", "vertex"):
        with pytest.raises(Unusable, match=rf"pip install 'rota\[{name}\]'"):
            choose(load({"model_provider": name}, {}))


def test_a_cloud_that_is_not_set_up_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLOUD_ML_REGION", raising=False)
    with pytest.raises(Unusable, match="CLOUD_ML_REGION"):
        open_provider(load({"model_provider": "vertex", "model_api_key": "k"}, {}))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "NO MODEL IS ASKED"),
        ({"model_provider": "scripted", "model_api_key": "hush"}, "not used"),
        ({"model_base_url": "https://models.example/x?key=hush", "model_api_key": "hush"}, "models.example"),
        ({"model_api_key": "hush"}, "api.anthropic.com"),
    ],
)
def test_the_log_says_which(given: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    provider = open_provider(load(given, {}))
    said = "".join(capsys.readouterr())
    assert says in said
    assert "hush" not in said
    asyncio.run(provider.close())


def test_a_script_that_cannot_be_played_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "script"
    with pytest.raises(Unusable, match="cannot be read"):
        open_provider(load({"model_script": str(file)}, {}))
    file.write_text('{"text": "Hello."}')
    with pytest.raises(Unusable, match="first line"):
        open_provider(load({"model_script": str(file)}, {}))


# Clouds, each in its own dialect


def frame(data: bytes) -> bytes:
    """One event of Amazon's event streams, which carries one event of the Messages API."""
    from base64 import b64encode

    def named(name: str, value: str) -> bytes:
        raw = value.encode()
        return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(raw)) + raw

    payload = json.dumps({"bytes": b64encode(data).decode()}).encode()
    headers = (
        named(":event-type", "chunk") + named(":content-type", "application/json") + named(":message-type", "event")
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    return (message := prelude + headers + payload) + struct.pack(">I", zlib.crc32(message))


def test_bedrock_is_asked_in_its_own_dialect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")

    async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        events = [part.partition(b"data: ")[2] for part in whole(text("Hello to you.")).split(b"\n\n") if part]
        raw = b"".join(map(frame, events))
        kind = "application/vnd.amazon.eventstream"
        writer.write(head(200, kind, content_length=str(len(raw))) + b"\r\n" + raw)

    async def run() -> tuple[Any, Asked]:
        async with endpoint(answer, model_provider="bedrock", key="a-bearer-token") as place:
            return (await pieces(place.provider, question(user("Hello."), model="anthropic.claude-test-1")))[
                -1
            ], place.asked[0]

    reply, asked = asyncio.run(run())
    assert reply.content == [text("Hello to you.")]
    assert reply.usage == ModelUsage(input_tokens=25, output_tokens=15)
    assert asked.head.startswith("POST /model/anthropic.claude-test-1/invoke-with-response-stream ")
    assert asked.header("authorization") == "Bearer a-bearer-token"
    assert "anthropic_version" in asked.body
    assert "model" not in asked.body


def test_vertex_is_asked_in_its_own_dialect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_ML_REGION", "europe-west1")
    monkeypatch.setenv("ANTHROPIC_VERTEX_PROJECT_ID", "my-project")

    async def run() -> tuple[Any, Asked]:
        reply = streams(whole(text("Hello to you.")))
        async with endpoint(reply, model_provider="vertex", key="an-access-token") as place:
            return (await pieces(place.provider, HELLO))[-1], place.asked[0]

    reply, asked = asyncio.run(run())
    assert isinstance(reply, Reply)
    assert reply.content == [text("Hello to you.")]
    path = "/projects/my-project/locations/europe-west1/publishers/anthropic/models/claude-test-1:streamRawPredict"
    assert asked.head.startswith(f"POST {path} ")
    assert asked.header("authorization") == "Bearer an-access-token"


def test_an_error_in_the_middle_of_bedrock_s_stream_is_told_by_its_type() -> None:
    async def run() -> ProviderFailure:
        said = event("error", error={"type": "throttlingException", "message": "Too many requests"})
        async with endpoint(streams(said)) as place:
            with pytest.raises(ProviderFailure) as failure:
                await pieces(place.provider, HELLO)
            return failure.value

    assert asyncio.run(run()).kind == "rate_limited"
