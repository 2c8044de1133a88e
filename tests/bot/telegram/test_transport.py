"""One HTTP call, to a simulated Telegram and to broken servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import msgspec
import pytest
from msgspec import structs

from tempogram.bot.proxy.address import Proxy
from tempogram.bot.telegram.attachments import Attachments
from tempogram.bot.telegram.connections import Connections
from tempogram.bot.telegram.transport import TelegramTransport
from tempogram.bot.telegram.upload_packing import UploadPacker
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import ChatId, Lease, Outgoing
from tempogram.engine.model.outcomes import (
    Answer,
    Failed,
    HalfSent,
    Migrated,
    Overdue,
    Rejected,
    Revoked,
    Sent,
    Throttled,
    Uncertain,
    Unquoted,
)
from tempogram.engine.ports import SystemClock
from tempogram.engine.sending.held_lease import HeldLease
from tempogram.simulator import Fault, Simulator
from tempogram.storage.files.spool import Spool
from tempogram.storage.files.uploads import Uploads
from tempogram.storage.ledger.memory_ledger import MemoryLedger
from tests.bot.fakes import BOT_ID, TOKEN, DictUploads
from tests.bot.memory_handles import MemoryHandles
from tests.fakes import outgoing

CHAT = -5
LEASE_MS = 30_000
clock = SystemClock()


def lease(*, chat_id: ChatId = CHAT, bot_id: int = BOT_ID, for_ms: int = LEASE_MS) -> Lease:
    message = outgoing("a", bot_id=bot_id, chat_id=chat_id)
    return Lease(message, 1, "w", incarnation=1, number=1, expires_at_ms=clock() + for_ms)


async def send(transport: TelegramTransport, leased: Lease) -> Answer:
    return await transport.send(leased, HeldLease(leased, leased.expires_at_ms, clock).may_write)


class OneToken:
    """A bot's token in the database, and the one known in this process."""

    def __init__(self, heard: str | None = TOKEN, *, kept: str | None = TOKEN) -> None:
        self.heard = heard
        self.kept = kept

    def __call__(self, bot_id: int) -> str | None:
        return self.heard if bot_id == BOT_ID else None

    async def in_database(self, bot_id: int) -> str | None:
        return self.kept if bot_id == BOT_ID else None


@dataclass
class Moves:
    """Whether every group has moved; None: the database is away."""

    has_moved_in_ledger: bool | None

    def may_have_moved(self, _: Outgoing) -> bool:
        return self.has_moved_in_ledger is not False

    async def has_moved(self, _: Outgoing) -> bool:
        if self.has_moved_in_ledger is None:
            raise LedgerError("the database is away")
        return self.has_moved_in_ledger


@asynccontextmanager
async def transport_to(
    url: str,
    *,
    uploads: DictUploads | Uploads | None = None,
    timeout_ms: int = 5_000,
    token: OneToken | None = None,
    moves: Moves | None = None,
    proxy: Proxy | None = None,
) -> AsyncIterator[TelegramTransport]:
    token = token or OneToken()
    async with Connections(url, proxy) as connections:
        yield TelegramTransport(
            connections=connections,
            token_of=token,
            reload_token=token.in_database,
            group_moves=moves or Moves(has_moved_in_ledger=False),
            handles=MemoryHandles(MemoryLedger()),
            timeout_ms=timeout_ms,
            guard_ms=0,
            upload_packer=UploadPacker(uploads or DictUploads()),  # type: ignore[arg-type]
            clock=clock,
        )


@pytest.fixture
async def served() -> AsyncIterator[tuple[Simulator, str]]:
    simulator = Simulator()
    simulator.add_bot(TOKEN, "the_bot")
    async with simulator.serve() as served:
        yield simulator, served.url


@pytest.fixture
async def transport(served: tuple[Simulator, str]) -> AsyncIterator[TelegramTransport]:
    async with transport_to(served[1]) as transport:
        yield transport


def no_token_in(answer: Answer) -> bool:
    return TOKEN.partition(":")[2] not in repr(answer)


async def test_a_message_that_telegram_takes_is_sent(
    served: tuple[Simulator, str], transport: TelegramTransport
) -> None:
    answer = await send(transport, lease())

    assert isinstance(answer.outcome, Sent)
    assert answer.outcome.telegram_message_id is not None
    assert served[0].report().accepted == 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(kind="429", retry_after_s=9), Throttled(9_000, "Too Many Requests: retry after 9")),
        (Fault(kind="5xx", status=502), Failed("Bad Gateway", 502)),
        (Fault(kind="migrated", chat_id=CHAT, to_chat_id=-100_123), Migrated(-100_123)),
        (Fault(kind="chat_not_found"), Rejected(400, "Bad Request: chat not found")),
        (Fault(kind="revoked"), Revoked("Unauthorized")),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
async def test_an_answer_is_a_value_and_takes_a_place(
    served: tuple[Simulator, str], transport: TelegramTransport, fault: Fault, expected: object
) -> None:
    served[0].order(fault)

    answer = await send(transport, lease())

    assert answer.outcome == expected
    assert answer.counted_at_ms is not None
    assert no_token_in(answer)


async def test_a_403_for_a_copy_does_not_make_the_target_chat_unreachable(
    served: tuple[Simulator, str], transport: TelegramTransport
) -> None:
    served[0].order(Fault(kind="kicked"))
    copy = structs.replace(
        lease().message, method="copyMessage", params=msgspec.json.encode({"from_chat_id": -9, "message_id": 1})
    )

    answer = await send(transport, structs.replace(lease(), message=copy))

    assert answer.outcome == Rejected(403, "Forbidden: bot was kicked from the group chat", unreachable=False)


async def test_a_403_for_an_uncounted_call_does_not_make_its_chat_unreachable(
    served: tuple[Simulator, str], transport: TelegramTransport
) -> None:
    """It may be about a right that the bot lacks."""
    served[0].order(Fault(kind="kicked", method="banChatMember"))
    ban = structs.replace(lease().message, method="banChatMember", cost=0, params=b'{"user_id":5}')

    answer = await send(transport, structs.replace(lease(), message=ban))

    assert answer.outcome == Rejected(403, "Forbidden: bot was kicked from the group chat", unreachable=False)


async def test_an_album_of_which_some_items_arrived_is_half_sent(
    served: tuple[Simulator, str], transport: TelegramTransport
) -> None:
    served[0].order(Fault(kind="400_429", delivered=1, retry_after_s=8))
    media = [{"type": "photo", "media": name} for name in "abc"]
    album = structs.replace(
        lease().message, method="sendMediaGroup", params=msgspec.json.encode({"media": media}), cost=len(media)
    )

    answer = await send(transport, structs.replace(lease(), message=album))

    assert isinstance(answer.outcome, HalfSent)
    assert (answer.outcome.delivered, answer.outcome.rest.cost) == (1, 2)
    assert isinstance(answer.outcome.cause, Throttled)
    assert answer.counted_at_ms is not None


async def test_a_token_replaced_during_a_call_is_not_a_revoked_one(
    served: tuple[Simulator, str],
) -> None:
    served[0].order(Fault(kind="revoked"))

    async with transport_to(served[1], token=OneToken(kept=f"{TOKEN}x")) as transport:
        answer = await send(transport, lease())

    assert isinstance(answer.outcome, Failed)


async def test_a_bot_unknown_here_is_read_from_the_database(served: tuple[Simulator, str]) -> None:
    async with transport_to(served[1], token=OneToken(heard=None)) as transport:
        answer = await send(transport, lease())

    assert isinstance(answer.outcome, Sent)


async def test_a_user_who_blocked_the_bot_is_unreachable(
    served: tuple[Simulator, str], transport: TelegramTransport
) -> None:
    served[0].order(Fault(kind="blocked"))

    answer = await send(transport, lease(chat_id=7))

    assert answer.outcome == Rejected(403, "Forbidden: bot was blocked by the user", unreachable=True)


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
async def test_a_connection_that_breaks_after_the_call_left_is_uncertain(
    served: tuple[Simulator, str], transport: TelegramTransport, kind: str
) -> None:
    served[0].order(Fault(kind=kind))  # type: ignore[arg-type]

    answer = await send(transport, lease())

    assert isinstance(answer.outcome, Uncertain)
    assert answer.counted_at_ms is not None
    assert no_token_in(answer)


async def test_no_answer_in_time_is_uncertain_and_counts_from_when_we_gave_up(served: tuple[Simulator, str]) -> None:
    served[0].order(Fault(kind="hang"))
    started_at_ms = clock()

    async with transport_to(served[1], timeout_ms=100) as transport:
        answer = await send(transport, lease())

    assert isinstance(answer.outcome, Uncertain)
    assert answer.counted_at_ms is not None
    assert answer.counted_at_ms >= started_at_ms + 100
    assert no_token_in(answer)


async def test_a_refused_connection_is_a_failure_and_takes_no_place() -> None:
    async with served_by(lambda _, writer: writer.close()) as url:
        pass

    async with transport_to(url) as transport:
        answer = await send(transport, lease())

    assert isinstance(answer.outcome, Failed)
    assert answer.counted_at_ms is None
    assert no_token_in(answer)


@pytest.mark.parametrize("url", ["http://no.such.host.invalid", f"http://{'a' * 70}.example"])
async def test_an_unknown_host_is_a_failure(url: str) -> None:
    async with transport_to(url) as transport:
        answer = await send(transport, lease())

    assert isinstance(answer.outcome, Failed)
    assert no_token_in(answer)


async def test_an_overdue_lease_writes_not_one_byte() -> None:
    arrived: list[bytes] = []
    ended = asyncio.Event()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await reader.read())
        writer.close()
        ended.set()

    async with served_by(note) as url:
        async with transport_to(url) as transport:
            answer = await send(transport, lease(for_ms=0))
        await asyncio.wait_for(ended.wait(), 5)

    assert answer == Answer(Overdue(), counted_at_ms=None)
    assert arrived == [b""]


async def test_a_bot_without_a_token_sends_nothing(served: tuple[Simulator, str], transport: TelegramTransport) -> None:
    answer = await send(transport, lease(bot_id=99))

    assert answer == Answer(Revoked("the bot has no token here"), counted_at_ms=None)
    assert served[0].report().calls == 0


async def carrying(uploads: DictUploads, params: dict[str, object], **files: bytes) -> Lease:
    """Lease a message, and keep its files as if it had been submitted with them."""
    album = "sendMediaGroup" if "media" in params else "sendPhoto"
    message = structs.replace(
        outgoing("a", bot_id=BOT_ID, chat_id=CHAT), method=album, params=json.dumps(params).encode()
    )

    async def chunks(content: bytes) -> AsyncIterator[bytes]:
        yield content

    spool = Spool(Path(gettempdir()), 1_000)
    with ExitStack() as stack:
        spooled = {
            name: stack.enter_context(await spool.take(f"{name}.jpg", chunks(content)))
            for name, content in files.items()
        }
        await Attachments(uploads, spool).keep(message, spooled)  # type: ignore[arg-type]
    return Lease(message, 1, "w", incarnation=1, number=1, expires_at_ms=clock() + LEASE_MS)


@pytest.fixture
def uploads() -> DictUploads:
    return DictUploads()


def shown(answer: Answer) -> Any:
    assert isinstance(answer.outcome, Sent)
    return json.loads(answer.outcome.body)["result"]


async def test_a_file_arrives_with_the_parameters_beside_it(
    served: tuple[Simulator, str], uploads: DictUploads
) -> None:
    sent = await carrying(
        uploads, {"photo": "attach://кот", "caption": "attach://кот", "has_spoiler": True}, кот=b"cat"
    )

    before_ms = clock()
    async with transport_to(served[1], uploads=uploads) as transport:
        answer = await send(transport, sent)

    message = shown(answer)
    assert message["caption"] == "attach://кот"
    assert message["photo"][0]["file_unique_id"] == sha256(b"cat").hexdigest()
    assert answer.counted_at_ms is not None
    assert answer.counted_at_ms >= before_ms


async def test_an_album_arrives_with_all_its_files_and_each_file_id_is_stored(
    served: tuple[Simulator, str], uploads: DictUploads
) -> None:
    media = [
        {"type": "photo", "media": "attach://a"},
        {"type": "video", "media": "attach://b", "thumbnail": "attach://c"},
    ]
    sent = await carrying(uploads, {"media": media}, a=b"one", b=b"two", c=b"small")

    async with transport_to(served[1], uploads=uploads) as transport:
        await send(transport, sent)
        again = await send(transport, sent)

    assert sorted(str(kind) for _, _, kind in uploads.file_ids) == ["photo", "video"]
    photo, video = shown(again)
    assert [photo["photo"][0]["file_id"], video["video"]["file_id"]] == list(uploads.file_ids.values())


async def test_the_rest_of_an_album_is_sent_without_the_files_that_arrived(
    served: tuple[Simulator, str], uploads: DictUploads
) -> None:
    served[0].order(Fault(kind="400_429", delivered=1, times=1, hold="none"))
    media = [{"type": "photo", "media": "attach://a"}, {"type": "photo", "media": "attach://b"}]
    sent = await carrying(uploads, {"media": media}, a=b"one", b=b"two")

    async with transport_to(served[1], uploads=uploads) as transport:
        half = (await send(transport, sent)).outcome
        assert isinstance(half, HalfSent)
        del uploads.contents[sha256(b"one").hexdigest()]  # reading it would fail
        answer = await send(transport, structs.replace(sent, message=half.rest.of(sent.message)))

    assert shown(answer)["photo"][0]["file_unique_id"] == sha256(b"two").hexdigest()


async def test_a_file_that_telegram_knows_is_sent_by_its_file_id(
    served: tuple[Simulator, str], uploads: DictUploads
) -> None:
    sent = await carrying(uploads, {"photo": "attach://a"}, a=b"cat")

    async with transport_to(served[1], uploads=uploads) as transport:
        first = await send(transport, sent)
        uploads.contents.clear()
        second = await send(transport, sent)

    assert shown(first)["photo"] == shown(second)["photo"]


async def test_an_unknown_file_id_is_forgotten_and_the_bytes_are_sent_next(
    served: tuple[Simulator, str], uploads: DictUploads
) -> None:
    sent = await carrying(uploads, {"photo": "attach://a"}, a=b"cat")
    await uploads.remember_file_id(BOT_ID, sha256(b"cat").hexdigest(), "photo", "sim-" + "0" * 32)

    async with transport_to(served[1], uploads=uploads) as transport:
        first = await send(transport, sent)
        second = await send(transport, sent)

    assert first.outcome == Failed("Bad Request: wrong file identifier/HTTP URL specified", 400)
    assert shown(second)["photo"][0]["file_unique_id"] == sha256(b"cat").hexdigest()


ALBUM_OF_THREE: dict[str, object] = {"media": [{"type": "photo", "media": f"attach://{name}"} for name in "abc"]}
WRONG_SECOND = b"""{"ok":false,"error_code":400,"description":"Bad Request: failed to send message #2 with the error \
message \\"Wrong file identifier/HTTP URL specified\\""}"""


async def refuse_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"]}")
    writer.write(b"HTTP/1.1 400 No\r\nContent-Length: %d\r\n\r\n%s" % (len(WRONG_SECOND), WRONG_SECOND))
    await writer.drain()
    writer.close()


async def album_that_telegram_knows(uploads: DictUploads) -> Lease:
    sent = await carrying(uploads, ALBUM_OF_THREE, a=b"a", b=b"b", c=b"c")
    for name in "abc":
        await uploads.remember_file_id(BOT_ID, sha256(name.encode()).hexdigest(), "photo", f"AgAC-{name}")
    return sent


async def test_an_unknown_file_id_in_an_album_is_forgotten_and_the_rest_is_retried(
    uploads: DictUploads,
) -> None:
    sent = await album_that_telegram_knows(uploads)

    async with served_by(refuse_second) as url, transport_to(url, uploads=uploads) as transport:
        answer = await send(transport, sent)

    assert isinstance(answer.outcome, HalfSent)
    assert (answer.outcome.delivered, answer.outcome.rest.cost) == (1, 2)
    assert isinstance(answer.outcome.cause, Failed)
    assert sorted(uploads.file_ids.values()) == ["AgAC-a", "AgAC-c"]


async def test_an_unknown_file_id_without_stored_bytes_ends_the_album(uploads: DictUploads) -> None:
    sent = await album_that_telegram_knows(uploads)
    uploads.contents.clear()

    async with served_by(refuse_second) as url, transport_to(url, uploads=uploads) as transport:
        answer = await send(transport, sent)

    assert isinstance(answer.outcome, HalfSent)
    assert isinstance(answer.outcome.cause, Rejected)
    assert sorted(uploads.file_ids.values()) == ["AgAC-a", "AgAC-c"]


async def test_a_file_no_longer_stored_is_rejected_without_a_call(
    served: tuple[Simulator, str], uploads: DictUploads
) -> None:
    sent = await carrying(uploads, {"photo": "attach://a"}, a=b"cat")
    await uploads.remember_file_id(BOT_ID, sha256(b"cat").hexdigest(), "photo", "sim-" + "0" * 32)
    uploads.contents.clear()

    async with transport_to(served[1], uploads=uploads) as transport:
        first = await send(transport, sent)
        second = await send(transport, sent)

    assert isinstance(first.outcome, Rejected)
    assert isinstance(second.outcome, Rejected)
    assert second.outcome.reason.startswith(
        "Telegram no longer knows the file 'a.jpg', and its bytes are no longer stored"
    )
    assert second.counted_at_ms is None
    assert served[0].report().calls == 1


async def test_a_text_that_looks_like_attach_is_a_text(
    served: tuple[Simulator, str], transport: TelegramTransport
) -> None:
    message = structs.replace(outgoing("a", bot_id=BOT_ID, chat_id=7), params=b'{"text":"attach://a"}')

    answer = await send(transport, Lease(message, 1, "w", 1, 1, expires_at_ms=clock() + LEASE_MS))

    assert shown(answer)["text"] == "attach://a"


async def test_an_overdue_lease_writes_not_one_byte_of_a_file(
    served: tuple[Simulator, str], uploads: DictUploads
) -> None:
    sent = await carrying(uploads, {"photo": "attach://a"}, a=b"cat")

    async with transport_to(served[1], uploads=uploads) as transport:
        answer = await send(transport, structs.replace(sent, expires_at_ms=clock()))

    assert answer == Answer(Overdue(), counted_at_ms=None)
    assert served[0].report().calls == 0


async def test_a_connection_that_breaks_in_the_middle_of_a_file_is_uncertain(uploads: DictUploads) -> None:
    sent = await carrying(uploads, {"photo": "attach://a"}, a=b"cat" * 300)

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"catcat")
        writer.transport.abort()

    async with served_by(cut) as url, transport_to(url, uploads=uploads) as transport:
        answer = await send(transport, sent)

    assert isinstance(answer.outcome, Uncertain)
    assert answer.counted_at_ms is not None


async def test_a_form_refused_before_it_is_read_has_its_answer(uploads: DictUploads) -> None:
    sent = await carrying(uploads, {"photo": "attach://a"}, a=b"cat")
    uploads.contents[sha256(b"cat").hexdigest()] = b"x" * (16 << 20)  # more than any buffer in between holds

    ended = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        ended.set()

    async with served_by(refuse) as url, transport_to(url, uploads=uploads) as transport:
        answer = await send(transport, sent)
        await asyncio.wait_for(ended.wait(), 5)

    assert answer.outcome == Rejected(413, "HTTP 413")


async def test_a_database_lost_in_the_middle_of_a_file_leaves_the_call_uncertain(
    served: tuple[Simulator, str], uploads: DictUploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await carrying(uploads, {"photo": "attach://a"}, a=b"cat")
    packed = await uploads.of_message(sent.message.id, BOT_ID)

    async def of_message(*_: object) -> object:
        return packed

    monkeypatch.setattr(uploads, "of_message", of_message)
    uploads.asleep = True
    async with transport_to(served[1], uploads=uploads) as transport:
        answer = await send(transport, sent)

    assert isinstance(answer.outcome, Uncertain)
    assert no_token_in(answer)


async def test_an_unreadable_database_is_a_failure_that_takes_no_place(
    served: tuple[Simulator, str], uploads: DictUploads
) -> None:
    sent = await carrying(uploads, {"photo": "attach://a"}, a=b"cat")
    uploads.asleep = True

    async with transport_to(served[1], uploads=uploads) as transport:
        answer = await send(transport, sent)

    assert answer == Answer(Failed("the message's files could not be read", is_ours=True), counted_at_ms=None)


@pytest.mark.parametrize("where", ["in", "out"])
async def test_a_call_is_counted_between_its_writing_and_its_answer(
    served: tuple[Simulator, str], transport: TelegramTransport, where: str
) -> None:
    served[0].order(Fault(kind="latency", delay_ms=60, where=where))  # type: ignore[arg-type]

    before_ms = clock()
    answer = await send(transport, lease())
    after_ms = clock()

    assert answer.counted_at_ms is not None
    assert before_ms <= answer.counted_at_ms <= after_ms


async def test_a_call_that_took_longer_than_the_shortest_is_counted_later_by_the_difference(
    served: tuple[Simulator, str], transport: TelegramTransport
) -> None:
    await send(transport, lease())
    served[0].order(Fault(kind="latency", delay_ms=150))

    before_ms = clock()
    answer = await send(transport, lease())

    assert answer.counted_at_ms is not None
    assert answer.counted_at_ms >= before_ms + 100


async def test_a_web_page_instead_of_an_answer_is_classified_by_its_status() -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'"hello"}')
        writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 6\r\n\r\n<html>")
        await writer.drain()
        writer.close()

    async with served_by(page) as url, transport_to(url) as transport:
        answer = await send(transport, lease())

    assert answer.outcome == Failed("HTTP 503", 503)


@pytest.mark.parametrize(
    "header", ["Retry-After: 9", "retry-after: Mon, 30 Nov 2026 12:00:09 GMT\r\nDate: Mon, 30 Nov 2026 12:00:00 GMT"]
)
async def test_a_429_is_obeyed_whose_wait_stands_only_in_the_header(header: str) -> None:
    async def throttle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 429 Slow Down\r\n{header}\r\nContent-Length: 4\r\n\r\nwait".encode())
        writer.close()

    async with served_by(throttle) as url, transport_to(url) as transport:
        answer = await send(transport, lease())

    assert answer.outcome == Throttled(9_000)


async def test_an_answer_that_breaks_off_is_uncertain() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'"hello"}')
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n{"ok":true')
        await writer.drain()
        writer.close()

    async with served_by(half) as url, transport_to(url) as transport:
        answer = await send(transport, lease())

    assert isinstance(answer.outcome, Uncertain)
    assert answer.counted_at_ms is not None


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


@asynccontextmanager
async def served_by(handler: Handler) -> AsyncIterator[str]:
    """Serve raw bytes on a free port; yield the address."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)  # type: ignore[arg-type]
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


# Messages that were submitted before their group moved


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        ("sendMessage", {"text": "a", "reply_parameters": {"message_id": 3}}, Unquoted),
        ("sendMessage", {"text": "a", "reply_to_message_id": 3}, Unquoted),
        ("editMessageText", {"text": "a", "message_id": 3}, Rejected),
        ("deleteMessages", {"message_ids": [3, 4]}, Rejected),
        ("pinChatMessage", {"message_id": 3}, Rejected),
    ],
)
async def test_a_number_of_the_old_group_never_meets_another_message_of_the_new_one(
    served: tuple[Simulator, str], method: str, params: dict[str, Any], expected: type
) -> None:
    message = structs.replace(lease().message, method=method, params=msgspec.json.encode(params))

    async with transport_to(served[1], moves=Moves(has_moved_in_ledger=True)) as transport:
        answer = await send(transport, structs.replace(lease(), message=message))

    assert isinstance(answer.outcome, expected)
    assert answer.counted_at_ms is None
    assert served[0].report().calls == 0


@pytest.mark.parametrize(
    ("method", "params"), [("sendMessage", {"text": "a"}), ("copyMessage", {"from_chat_id": 7, "message_id": 3})]
)
async def test_a_message_that_names_none_of_the_old_group_is_sent(
    served: tuple[Simulator, str], method: str, params: dict[str, Any]
) -> None:
    message = structs.replace(lease().message, method=method, params=msgspec.json.encode(params))

    async with transport_to(served[1], moves=Moves(has_moved_in_ledger=True)) as transport:
        await send(transport, structs.replace(lease(), message=message))

    assert served[0].report().calls == 1


async def test_nothing_is_sent_while_it_cannot_be_read_whether_the_group_has_moved(
    served: tuple[Simulator, str],
) -> None:
    reply = structs.replace(lease().message, params=b'{"text":"a","reply_to_message_id":3}')

    async with transport_to(served[1], moves=Moves(None)) as transport:
        answer = await send(transport, structs.replace(lease(), message=reply))

    assert answer == Answer(Failed("whether its group has moved cannot be read", is_ours=True), None)
