"""The files of broadcasts, in a program that runs, against a simulated Telegram."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from aiogram.types import BufferedInputFile, FSInputFile, InputMediaPhoto
from sqlalchemy import insert

import tempogram
from tempogram.api.app import create_app
from tempogram.api.core.ports import Refusal
from tempogram.bot import wiring
from tempogram.engine.broadcasts.feeder import NO_FILE_ID
from tempogram.engine.model.broadcasts import Broadcast, BroadcastState, Outcome
from tempogram.simulator import Fault
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import chats
from tempogram.storage.files.spool import FileTooLarge
from tests.bot.embedding.started import BOT_ID, Engine, started
from tests.end_to_end.program import ADMIN_TOKEN
from tests.end_to_end.test_telegram_answers import until

CHATS = range(101, 113)

CAT = BufferedInputFile(b"bytes of a cat", "cat.jpg")


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with started(tmp_path) as engine:
        await add_chats(tmp_path)
        yield engine


async def add_chats(directory: Path) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{directory}/tempogram.db")
    rows = [{"bot_id": BOT_ID, "chat_id": str(each), "type": "private"} for each in CHATS]
    await database.write_alone(lambda connection: connection.execute(insert(chats), rows) and None)
    await database.close()


async def until_over(engine: Engine, broadcast_id: int) -> Broadcast:
    async def is_over() -> bool:
        return (await stored(engine, broadcast_id)).state is not BroadcastState.RUNNING

    await until(is_over)
    return await stored(engine, broadcast_id)


async def stored(engine: Engine, broadcast_id: int) -> Broadcast:
    found = await engine.built.storage.broadcasts.get(broadcast_id)
    assert found is not None
    return found


def shown(engine: Engine) -> Counter[str]:
    return Counter(text for chat_id in CHATS for text in engine.shown(chat_id))


def uploads(engine: Engine) -> int:
    return engine.telegram.report().uploads


async def test_a_file_of_a_broadcast_is_uploaded_once_and_sent_to_each(engine: Engine) -> None:
    made = await tempogram.broadcast(engine.bot, method="sendPhoto", params={"photo": CAT, "caption": "chat {chat_id}"})

    done = await until_over(engine, made.id)
    assert (done.state, done.outcomes) == (BroadcastState.DONE, {"sent": len(CHATS)})
    assert shown(engine) == {f"chat {each}": 1 for each in CHATS}
    assert uploads(engine) == 1


async def test_each_file_of_an_album_is_uploaded_once(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "dog.jpg").write_bytes(b"bytes of a dog")
    media = [InputMediaPhoto(media=CAT, caption="a cat"), InputMediaPhoto(media=FSInputFile(tmp_path / "dog.jpg"))]

    made = await tempogram.broadcast(BOT_ID, method="sendMediaGroup", params={"media": media})

    assert (await until_over(engine, made.id)).outcomes == {"sent": len(CHATS)}
    assert (shown(engine)["a cat"], uploads(engine)) == (len(CHATS), 2)


async def test_the_thumbnail_of_a_file_that_telegram_has_is_not_uploaded_again(engine: Engine) -> None:
    params = {"video": BufferedInputFile(b"moving", "cat.mp4"), "thumbnail": CAT}

    made = await tempogram.broadcast(engine.bot, method="sendVideo", params=params)

    assert (await until_over(engine, made.id)).outcomes == {"sent": len(CHATS)}
    assert uploads(engine) == 2


async def test_where_the_first_message_does_not_arrive_the_next_one_uploads_the_file(engine: Engine) -> None:
    engine.telegram.order(Fault(kind="blocked", chat_id=CHATS[0]))

    made = await tempogram.broadcast(engine.bot, method="sendPhoto", params={"photo": CAT})

    assert (await until_over(engine, made.id)).outcomes == {"sent": len(CHATS) - 1, "dead": 1}
    assert uploads(engine) == 2


async def test_a_file_id_that_telegram_forgot_is_replaced_by_an_upload(engine: Engine) -> None:
    made = await tempogram.broadcast(engine.bot, method="sendPhoto", params={"photo": CAT}, start=False)
    plan = (await stored(engine, made.id)).plan
    (file,) = await engine.built.storage.uploads.of_message(plan.content.media or "", BOT_ID)
    wrong = f"sim-{'0' * 32}"
    await engine.built.storage.uploads.remember_file_id(BOT_ID, file.sha256, "photo", wrong)

    await engine.built.front.broadcasting.board.start(made.id)

    assert (await until_over(engine, made.id)).outcomes == {"sent": len(CHATS)}
    assert 1 <= uploads(engine) < len(CHATS)


async def test_a_broadcast_whose_file_telegram_keeps_as_another_kind_is_paused(engine: Engine) -> None:
    async def is_never_known(_: Broadcast) -> bool:
        return False

    engine.built.front.broadcasting.feeder._knows_files = is_never_known

    made = await tempogram.broadcast(engine.bot, method="sendPhoto", params={"photo": CAT, "caption": "a cat"})

    paused = await until_over(engine, made.id)
    assert (paused.state, paused.problem) == (BroadcastState.PAUSED, NO_FILE_ID)
    assert shown(engine)["a cat"] < len(CHATS)


async def test_a_broadcast_of_a_process_that_died_goes_on_with_the_file_that_was_kept(tmp_path: Path) -> None:
    async with started(tmp_path, telegram_bot_limit=8) as first:
        await add_chats(tmp_path)
        made = await tempogram.broadcast(first.bot, method="sendPhoto", params={"photo": CAT, "caption": "a cat"})

        async def has_begun() -> bool:
            return shown(first)["a cat"] >= 3

        await until(has_begun)
        before = shown(first)["a cat"]
        assert (before < len(CHATS), uploads(first)) == (True, 1)
    async with started(tmp_path) as second:
        done = await until_over(second, made.id)
        files = await second.built.storage.uploads.of_message(done.plan.content.media or "", BOT_ID)

    assert [file.is_here for file in files] == [True]
    sent = shown(first)["a cat"] + shown(second)["a cat"]
    assert (done.outcomes[Outcome.SENT], sent) == (len(CHATS), len(CHATS))


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(wiring.app.dependencies(engine.built))
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://tempogram", headers=headers
    ) as client:
        yield client


async def test_the_api_takes_the_files_of_a_broadcast_as_a_form(engine: Engine, client: httpx.AsyncClient) -> None:
    media = [{"type": "photo", "media": f"attach://{name}", "caption": name} for name in ("cat", "dog")]
    form = {"name": "spring", "bot": f"{BOT_ID}", "method": "sendMediaGroup", "media": json.dumps(media)}
    chosen = form | {"selection": '{"chats": [101, 102]}'}
    cat, dog = ("cat.jpg", b"bytes of a cat"), ("dog.jpg", b"bytes of a dog")

    refused = await client.post("/broadcasts", data=chosen, files={"cat": cat})
    answer = await client.post("/broadcasts", data=chosen, files={"cat": cat, "dog": dog})

    assert (refused.status_code, answer.status_code) == (400, 201), answer.text
    assert "'attach://dog' names a file that was not given" in refused.json()["error"]["message"]
    await client.post(f"/broadcasts/{answer.json()['id']}/start")
    await until_over(engine, answer.json()["id"])
    assert (shown(engine), uploads(engine)) == ({"cat": 2, "dog": 2}, 2)


async def test_a_file_that_cannot_be_broadcast_is_refused(engine: Engine) -> None:
    with pytest.raises(Refusal, match="'attach://cat' names a file that was not given"):
        await tempogram.broadcast(engine.bot, method="sendPhoto", params={"photo": "attach://cat"})
    with pytest.raises(Refusal, match=r"the file 'cat.jpg' would have to be uploaded for each chat"):
        await tempogram.broadcast(engine.bot, method="sendVideo", params={"video": "file-id", "cover": CAT})


async def test_a_file_that_is_too_large_or_missing_is_refused_in_a_sentence(engine: Engine, tmp_path: Path) -> None:
    too_large = BufferedInputFile(bytes(51 << 20), "cat.jpg")

    with pytest.raises(FileTooLarge, match=r"the file 'cat.jpg' is too large to upload"):
        await tempogram.broadcast(engine.bot, method="sendPhoto", params={"photo": too_large})
    with pytest.raises(FileNotFoundError):
        await tempogram.broadcast(engine.bot, method="sendPhoto", params={"photo": FSInputFile(tmp_path / "no.jpg")})


async def test_the_file_of_a_broadcast_that_is_refused_is_not_kept(engine: Engine) -> None:
    params = {"photo": CAT, "caption": "{title}", "caption_entities": [{"type": "bold", "offset": 0, "length": 1}]}

    with pytest.raises(Refusal, match="use parse_mode instead"):
        await tempogram.broadcast(engine.bot, method="sendPhoto", params=params)

    assert await engine.built.storage.uploads.purge_orphans(now_ms=2**42) == 0
