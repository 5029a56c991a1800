"""A real model, asked as any other endpoint of the Messages API is."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from rota.base.errors import Unusable
from rota.base.settings import load
from rota.runtime.provider import ProviderFailure, Reply, TextDelta
from rota.runtime.providers import local
from rota.runtime.providers.open import open_provider
from tests.cli.process import environment
from tests.runtime.providers.talk import BASH, pieces, question, text, user

needs_the_model = pytest.mark.skipif(
    local.missing() is not None and not os.environ.get("CI"), reason=f"needs a model: {local.INSTALL}"
)


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    server = local.start()
    yield server.url
    server.stop()
    assert server.process.returncode == 0


def ask(url: str, *questions: Any) -> list[Any]:
    async def run() -> list[Any]:
        provider = open_provider(load({"model_base_url": url, "model_max_tokens": 24}, {}))
        try:
            return [await pieces(provider, each) for each in questions]
        finally:
            await provider.close()

    return asyncio.run(run())


@needs_the_model
@pytest.mark.slow
def test_a_real_model_answers_in_a_stream(model: str) -> None:
    system = [text("You answer in a few words.")]
    first = question(user("What is the capital of France?"), system=system, model=local.MODEL, effort="low")
    [found] = ask(model, first)
    assert sum(isinstance(piece, TextDelta) for piece in found) > 2
    reply = found[-1]
    assert isinstance(reply, Reply)
    assert "Paris" in reply.content[0]["text"]
    assert reply.usage.output_tokens > 2

    answered = {"role": "assistant", "content": reply.content}
    more = question(*first.messages, answered, user("And of Germany?"), system=system, tools=[BASH], model=local.MODEL)
    [found] = ask(model, more)
    assert found[-1].content[0]["text"]
    assert found[-1].usage.cache_read_input_tokens + found[-1].usage.input_tokens > reply.usage.input_tokens


@needs_the_model
@pytest.mark.slow
def test_a_conversation_that_is_too_long_for_it_is_told_as_such(model: str) -> None:
    with pytest.raises(ProviderFailure) as failure:
        ask(model, question(user("word " * 20_000)))
    assert (failure.value.kind, failure.value.retry) == ("context_overflow", False)


@needs_the_model
@pytest.mark.slow
def test_the_demo_can_ask_it(tmp_path: Any) -> None:
    command = [sys.executable, "-m", "rota", "demo", "--local-model"]
    done = subprocess.run(
        command, env=environment(TMPDIR=str(tmp_path)), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"A real model, {local.MODEL}, answers on http://127.0.0.1:" in done.stdout
    assert "agent.message" in done.stdout
    assert "scripted" not in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "find_spec", lambda _name: None)
    with pytest.raises(Unusable, match="pip install"):
        local.start()
