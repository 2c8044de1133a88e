from __future__ import annotations

import pytest

from tempogram.engine.model.conversations import conversation
from tempogram.engine.model.messages import ChatId, Status
from tempogram.engine.ports.ledger import Record
from tempogram.storage.ledger.memory_ledger import MemoryLedger
from tempogram.storage.ledger.written import written_to
from tests.storage.backends import BOT, CHAT, NOW_MS, became, message


def sent(chat_id: ChatId | None = CHAT, **changes: object) -> Record:
    return became(message(chat_id=chat_id), Status.SENT, **{"telegram_message_id": 5} | changes)


@pytest.mark.parametrize("record", [sent(), sent(-1005), sent(conversation=CHAT), sent("@chess")])
def test_a_message_is_written_to_its_chat(record: Record) -> None:
    assert written_to(record) == record.chat_id


def test_a_message_to_another_name_of_a_chat_is_written_to_the_chat() -> None:
    assert written_to(sent("@chess", migrated_to=-1005)) == -1005


@pytest.mark.parametrize(
    "record",
    [
        became(message(), Status.DEAD),
        sent(telegram_message_id=None),  # a deletion, of which Telegram says nothing but that it is done
        sent(conversation=conversation(CHAT, "shop")),
        sent("inline:AbC"),
        sent("method:setMyCommands"),
        sent(None),
    ],
)
def test_nothing_else_is_written_to_a_chat(record: Record) -> None:
    assert written_to(record) is None


async def test_the_ledger_in_memory_knows_the_last_message_of_each_chat() -> None:
    ledger = MemoryLedger()

    for at_ms in (NOW_MS + 9, NOW_MS + 5):
        await ledger.record([sent(recorded_at_ms=at_ms)])

    assert ledger.last_message_out_at_ms == {(BOT, CHAT): NOW_MS + 9}
