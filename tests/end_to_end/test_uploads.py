"""Files from a call to Telegram: once as bytes, from then on by name."""

from __future__ import annotations

import asyncio
import io
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import aiohttp
import httpx
import pytest
from aiogram import Bot
from aiogram.types import BufferedInputFile, InputMediaPhoto, MediaUnion
from pydantic import SecretStr

from tempogram.bot import wiring
from tempogram.bot.config.settings import Settings
from tempogram.bot.runtime.lifecycle import running
from tempogram.simulator import Simulator, SimulatorSettings
from tempogram.simulator.client import running_simulator
from tests.end_to_end.program import ADMIN_TOKEN, TOKEN, program
from tests.storage.servers import own_postgres

CHAT_ID = 77


@asynccontextmanager
async def sending(directory: Path) -> AsyncIterator[tuple[Bot, Simulator, wiring.Program]]:
    simulator = Simulator(SimulatorSettings())
    simulator.add_bot(TOKEN, "sender_bot")
    async with simulator.serve() as telegram:
        settings = Settings(
            telegram_api_url=telegram.url,
            bot_tokens=(SecretStr(TOKEN),),
            admin_token=SecretStr(ADMIN_TOKEN),
            data_dir=directory,
            telegram_rate_limit_wait=20,
        )
        async with wiring.program(settings) as built, running(built):
            yield Bot(TOKEN), simulator, built


async def test_a_file_is_sent_as_bytes_once_and_by_file_id_afterwards(tmp_path: Path) -> None:
    async with sending(tmp_path) as (bot, simulator, _):
        first = await bot.send_photo(CHAT_ID, BufferedInputFile(b"a cat", "cat.jpg"), caption="look")
        second = await bot.send_photo(CHAT_ID + 1, BufferedInputFile(b"a cat", "another-name.jpg"))
        album: list[MediaUnion] = [
            InputMediaPhoto(media=BufferedInputFile(content, "a.jpg")) for content in (b"a cat", b"a dog")
        ]
        third = await bot.send_media_group(CHAT_ID + 2, album)

    assert first.photo
    assert second.photo
    assert third[0].photo
    assert first.caption == "look"
    assert first.photo[0].file_size == len(b"a cat")
    assert first.photo[0].file_id == second.photo[0].file_id == third[0].photo[0].file_id
    assert simulator.report().places == 4


async def test_a_large_file_is_never_whole_in_memory(tmp_path: Path) -> None:
    chunk, chunks = b"x" * 65_536, 320  # 20 MiB
    head = (
        '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'.format(*field)
        for field in {"bot": "42", "chat_id": "77", "method": "sendDocument"}.items()
    )

    async def body() -> AsyncIterator[bytes]:
        yield "".join(head).encode()
        yield b'--x\r\nContent-Disposition: form-data; name="document"; filename="large.bin"\r\n\r\n'
        for _ in range(chunks):
            yield chunk
        yield b"\r\n--x--\r\n"

    async with sending(tmp_path) as (_, _, built):
        client = httpx.AsyncClient(transport=httpx.ASGITransport(wiring.app_of(built)), base_url="http://tempogram")
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "multipart/form-data; boundary=x"}
        tracemalloc.start()
        try:
            response = await client.post("/messages?wait=30", content=body(), headers=headers, timeout=60)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert response.status_code == 200, response.text
    (file,) = response.json()["files"]
    assert response.json()["status"] == "sent"
    assert (file["bytes"], file["file_name"]) == (chunks * len(chunk), "large.bin")
    assert file["sha256"] == sha256(chunk * chunks).hexdigest()
    assert file["file_id"].startswith("sim-")
    assert peak_bytes < 10 << 20


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_settings(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    if request.param == "sqlite":
        yield {}
    else:
        with own_postgres() as url:
            yield {"DATABASE_URL": url}


async def test_an_accepted_file_is_sent_after_a_kill(tmp_path: Path, database_settings: dict[str, str]) -> None:
    content = bytes(range(256)) * 10_000  # three rows
    async with running_simulator() as telegram, program(tmp_path, telegram.url, **database_settings) as tempogram:
        await tempogram.call("PATCH", "/bots/42", json={"paused": True})
        form = aiohttp.FormData({"bot": "42", "chat_id": "77", "method": "sendMediaGroup"})
        media = [{"type": "document", "media": "attach://a"}, {"type": "document", "media": "attach://b"}]
        form.add_field("media", json.dumps(media))
        form.add_field("a", io.BytesIO(content), filename="a.bin")
        form.add_field("b", b"small", filename="b.bin")
        status, taken = await tempogram.call("POST", "/messages", data=form)
        await tempogram.kill()
        await tempogram.start()
        await tempogram.call("PATCH", "/bots/42", json={"paused": False})
        await tempogram.until(tempogram.is_empty, within_s=30)
        shown = await telegram.call("GET", "messages?chat=77")
        _, state = await tempogram.call("GET", f"/messages/{taken['id']}")

    hashes = [sha256(content).hexdigest(), sha256(b"small").hexdigest()]
    assert status == 202
    assert [message["document"]["file_unique_id"] for message in shown] == hashes
    assert [file["sha256"] for file in state["files"]] == hashes
    assert [file["file_id"] for file in state["files"]] == [message["document"]["file_id"] for message in shown]


async def test_the_same_file_to_many_chats_is_uploaded_once(tmp_path: Path) -> None:
    async with sending(tmp_path) as (bot, simulator, _):
        first = await bot.send_document(CHAT_ID, BufferedInputFile(b"news", "news.pdf"))
        sends = (bot.send_document(chat_id, BufferedInputFile(b"news", "news.pdf")) for chat_id in range(1, 21))
        messages = await asyncio.gather(*sends)

    assert first.document
    assert {message.document.file_id for message in messages if message.document} == {first.document.file_id}
    assert simulator.report().accepted == 21
