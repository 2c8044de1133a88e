"""Which engine the functions of ``tempogram`` use, and what they say without one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiogram.methods import SendMessage

import tempogram
from tempogram.api.core.ports import Refusal
from tempogram.bot.embedding import current
from tempogram.bot.telegram.engine_loop import HAS_ENDED
from tests.bot.embedding.started import BOT_ID, Engine, started

HELLO = SendMessage(chat_id=7, text="hello")


async def test_without_an_engine_a_call_says_in_one_sentence_how_to_have_one() -> None:
    with pytest.raises(RuntimeError, match=r"^no engine of Tempogram runs in this program; name your module in") as no:
        await tempogram.send(BOT_ID, HELLO)

    assert "\n" not in str(no.value)


async def test_the_engine_is_there_while_the_program_runs_and_not_after_it(tmp_path: Path) -> None:
    async with started(tmp_path) as engine:
        assert current.engine().gateway is engine.built.front.updates.gateway

    with pytest.raises(RuntimeError, match="no engine of Tempogram runs"):
        await tempogram.stats()


async def test_a_program_that_fails_is_the_engine_no_more(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with started(tmp_path):
            raise KeyError

    with pytest.raises(RuntimeError, match="no engine of Tempogram runs"):
        current.engine()


async def test_a_bot_that_is_not_known_here_is_refused_with_the_way_out(engine: Engine) -> None:
    with pytest.raises(Refusal, match="bot 43 does not run here; add it with POST /bots"):
        await tempogram.submit(43, HELLO)


async def test_a_bot_that_another_process_has_just_added_is_known(engine: Engine) -> None:
    await engine.built.front.fleet.learn("43:token-of-another-bot-here")
    registry = engine.built.front.fleet.registry
    for known in (registry._tokens, registry._aiogram, registry._registered):
        known.pop(43, None)

    submitted = await tempogram.submit(43, HELLO)

    assert (await tempogram.state(submitted.id)).bot == "43"


async def test_a_call_from_another_thread_runs_in_the_engines_loop(engine: Engine) -> None:
    def in_a_thread() -> tempogram.Submitted:
        return asyncio.run(tempogram.submit(BOT_ID, HELLO, tag="from a thread"))

    submitted = await asyncio.to_thread(in_a_thread)

    assert (await tempogram.state(submitted.id)).tag == "from a thread"


async def test_a_block_in_another_thread_covers_its_calls(engine: Engine) -> None:
    await engine.pause()

    def in_a_thread() -> tempogram.Submitted:
        async def broadcast() -> tempogram.Submitted:
            with tempogram.priority("low"):
                return await tempogram.submit(BOT_ID, HELLO)

        return asyncio.run(broadcast())

    submitted = await asyncio.to_thread(in_a_thread)

    assert (await tempogram.state(submitted.id)).priority == "low"


def test_a_call_after_the_engines_loop_has_ended_raises_at_once(tmp_path: Path) -> None:
    async def begin() -> current.RunningEngine:
        async with started(tmp_path):
            return current.engine()

    ended = asyncio.run(begin())

    async def call() -> None:
        await ended.gateway.loop.run(ended.bot(BOT_ID))

    with pytest.raises(RuntimeError, match=HAS_ENDED):
        asyncio.run(call())
