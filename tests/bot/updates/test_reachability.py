"""Each kind of update shows which conversations take messages, or none."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram.enums import UpdateType
from aiogram.types import ChatMemberRestricted, Update

from tempogram.bot.updates.reachability import SHOWN_BY, shown
from tempogram.engine.model.conversations import conversation
from tempogram.engine.model.messages import ChatId
from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tests.bot.fakes import BOT_ID
from tests.bot.talk import GROUP, PRIVATE, talk
from tests.fakes import Clock, outgoing

BLOCKED = "Forbidden: bot was blocked by the user"
FOR_SHOP = conversation(PRIVATE, "shop")

ANNA = {"id": PRIVATE, "is_bot": False, "first_name": "Anna"}
CHAT = {"id": PRIVATE, "type": "private", "first_name": "Anna"}
CLUB = {"id": GROUP, "type": "supergroup", "title": "Chess club", "username": "ChessClub"}
OF_CLUB: list[ChatId] = [GROUP, "@chessclub"]
MESSAGE = {"message_id": 1, "date": 1, "chat": CHAT, "from": ANNA, "text": "hello"}
POST = {"message_id": 1, "date": 1, "chat": CLUB, "text": "news"}
BUSINESS = MESSAGE | {"business_connection_id": "shop"}
QUERY = {"id": "1", "from": ANNA}
MEMBER = {"chat": CLUB, "from": ANNA, "date": 1, "old_chat_member": {"user": ANNA, "status": "left"}} | {
    "new_chat_member": {"user": ANNA, "status": "member"}
}
ORDER = QUERY | {"invoice_payload": "x"}
ADDRESS = dict.fromkeys(("country_code", "state", "city", "street_line1", "street_line2", "post_code"), "DE")
BOOST = {"boost_id": "x", "source": {"source": "premium", "user": ANNA}}
POLL = {"id": "1", "question": "?", "options": [], "total_voter_count": 0, "type": "regular"} | dict.fromkeys(
    ("is_closed", "is_anonymous", "allows_multiple_answers", "allows_revoting", "members_only"), False
)

EXAMPLES: dict[str, tuple[dict[str, Any], list[ChatId]]] = {
    "message": (MESSAGE, [PRIVATE]),
    "edited_message": (MESSAGE | {"edit_date": 2}, [PRIVATE]),
    "channel_post": (POST, OF_CLUB),
    "edited_channel_post": (POST | {"edit_date": 2}, OF_CLUB),
    "business_connection": (
        {"id": "shop", "user": ANNA, "user_chat_id": PRIVATE, "date": 1, "is_enabled": True, "can_reply": True},
        [],
    ),
    "business_message": (BUSINESS, [FOR_SHOP]),
    "edited_business_message": (BUSINESS | {"edit_date": 2}, [FOR_SHOP]),
    "deleted_business_messages": (
        {"business_connection_id": "shop", "chat": CHAT, "message_ids": [1]},
        [FOR_SHOP],
    ),
    "guest_message": (POST, []),
    "message_reaction": ({"chat": CHAT, "message_id": 1, "date": 1, "old_reaction": [], "new_reaction": []}, [PRIVATE]),
    "message_reaction_count": ({"chat": CLUB, "message_id": 1, "date": 1, "reactions": []}, OF_CLUB),
    "inline_query": (QUERY | {"query": "", "offset": ""}, []),
    "chosen_inline_result": ({"result_id": "1", "from": ANNA, "query": ""}, []),
    "callback_query": (QUERY | {"chat_instance": "x", "message": MESSAGE}, [PRIVATE]),
    "shipping_query": (ORDER | {"shipping_address": ADDRESS}, []),
    "pre_checkout_query": (ORDER | {"currency": "XTR", "total_amount": 1}, []),
    "purchased_paid_media": ({"from": ANNA, "paid_media_payload": "x"}, []),
    "poll": (POLL, []),
    "poll_answer": ({"poll_id": "1", "user": ANNA, "option_ids": [], "option_persistent_ids": []}, []),
    "my_chat_member": (MEMBER, OF_CLUB),
    "chat_member": (MEMBER, OF_CLUB),
    "chat_join_request": ({"chat": CLUB, "from": ANNA, "user_chat_id": 5, "date": 1}, [*OF_CLUB, 5]),
    "chat_boost": (
        {"chat": CLUB, "boost": BOOST | {"add_date": 1, "expiration_date": 2}},
        OF_CLUB,
    ),
    "removed_chat_boost": ({"chat": CLUB, "remove_date": 1} | BOOST, OF_CLUB),
    "managed_bot": ({"user": ANNA, "bot": ANNA | {"is_bot": True}}, []),
    "subscription": ({"user": ANNA, "invoice_payload": "x", "state": "active"}, []),
    "stopped_message_generation": ({"chat": CHAT, "draft_id": 1}, [PRIVATE]),
}


def test_the_table_has_every_kind_of_update_that_aiogram_knows() -> None:
    kinds = Update.model_fields.keys() - {"update_id"}

    assert SHOWN_BY.keys() == set(UpdateType) == kinds == EXAMPLES.keys()


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_update_shows_these_conversations_to_be_reachable(kind: str) -> None:
    event, names = EXAMPLES[kind]
    update = Update.model_validate({"update_id": 1, kind: event})

    assert list(shown(update, BOT_ID)) == names


def test_a_button_under_a_message_for_a_business_shows_that_conversation() -> None:
    update = Update.model_validate(
        {"update_id": 1, "callback_query": QUERY | {"chat_instance": "x", "message": BUSINESS}}
    )

    assert list(shown(update, BOT_ID)) == [FOR_SHOP]


def test_a_button_under_a_message_that_is_gone_shows_its_chat() -> None:
    gone = {"message_id": 1, "date": 0, "chat": CLUB}
    update = Update.model_validate({"update_id": 1, "callback_query": QUERY | {"chat_instance": "x", "message": gone}})

    assert list(shown(update, BOT_ID)) == OF_CLUB


@pytest.mark.parametrize("kind", [kind for kind, (_, names) in EXAMPLES.items() if names])
async def test_a_lost_conversation_opens_again_with_such_an_update(database: Database, clock: Clock, kind: str) -> None:
    event, names = EXAMPLES[kind]

    async with talk(database, clock) as talking:
        for name in names:
            await talking.chats.mark_unreachable(BOT_ID, name, BLOCKED)
            await talking.reachability.mark_unreachable(BOT_ID, name, BLOCKED)
        await talking.hears({"update_id": 1, kind: event})

        assert not any(talking.reachability.is_unreachable(BOT_ID, name) for name in names)
        assert await SqlLedger(database).unreachable_chats(limit=9) == []


async def test_a_business_message_of_who_blocked_the_bot_is_answered_and_the_private_chat_stays_lost(
    database: Database, clock: Clock
) -> None:
    blocked = MEMBER | {"chat": CHAT, "new_chat_member": {"user": ANNA, "status": "kicked", "until_date": 0}}

    async with talk(database, clock) as talking:
        await talking.hears({"update_id": 1, "my_chat_member": blocked}, {"update_id": 2, "business_message": BUSINESS})
        answer = outgoing("a", bot_id=BOT_ID, chat_id=PRIVATE, params=b'{"business_connection_id":"shop"}')
        own = outgoing("b", bot_id=BOT_ID, chat_id=PRIVATE)

        assert talking.reachability.refusal(answer) is None
        assert talking.reachability.refusal(own) is not None


@pytest.mark.parametrize("is_enabled", [True, False])
async def test_a_business_connection_that_is_enabled_again_opens_what_was_lost_by_it(
    database: Database, clock: Clock, *, is_enabled: bool
) -> None:
    event = EXAMPLES["business_connection"][0] | {"is_enabled": is_enabled}
    names = [FOR_SHOP, conversation(8, "shop"), conversation(8, "shop_2"), 8]

    async with talk(database, clock) as talking:
        for name in names:
            await talking.chats.mark_unreachable(BOT_ID, name, BLOCKED)
            await talking.reachability.mark_unreachable(BOT_ID, name, BLOCKED)
        await talking.hears({"update_id": 1, "business_connection": event})

        lost = [talking.reachability.is_unreachable(BOT_ID, name) for name in names]

    assert lost == [not is_enabled, not is_enabled, True, True]


async def test_a_group_in_which_the_bot_is_restricted_and_no_member_is_lost(database: Database, clock: Clock) -> None:
    rights = {name: False for name in ChatMemberRestricted.model_fields if name.startswith(("can_", "is_"))}
    gone = {"user": ANNA, "status": "restricted", "until_date": 0} | rights

    async with talk(database, clock) as talking:
        await talking.hears({"update_id": 1, "my_chat_member": MEMBER | {"new_chat_member": gone}})

        assert talking.reachability.is_unreachable(BOT_ID, GROUP)


async def stays_erased(
    database: Database, clock: Clock, event: dict[str, Any], chat_id: ChatId, *, late_s: int
) -> bool:
    """Tell whether a chat stays erased when an update of so many seconds after its erasure is handled."""
    async with talk(database, clock) as talking:
        await talking.eraser.erase(BOT_ID, chat_id)
        sent_s = clock() // 1_000 + late_s
        ((kind, said),) = event.items()
        await talking.hears({"update_id": 1, kind: said | {"date": sent_s}})
        return talking.reachability.is_erased(BOT_ID, chat_id)


async def test_a_person_opens_an_erased_chat_by_writing_to_the_bot(database: Database, clock: Clock) -> None:
    assert not await stays_erased(database, clock, {"message": MESSAGE}, PRIVATE, late_s=1)


@pytest.mark.parametrize("late_s", [-5, 0])
async def test_a_message_from_before_the_erasure_that_is_handled_later_opens_nothing(
    database: Database, clock: Clock, late_s: int
) -> None:
    assert await stays_erased(database, clock, {"message": MESSAGE}, PRIVATE, late_s=late_s)


async def test_a_message_of_a_group_does_not_open_it(database: Database, clock: Clock) -> None:
    assert await stays_erased(database, clock, {"message": POST | {"from": ANNA}}, GROUP, late_s=5)


@pytest.mark.parametrize("name", OF_CLUB)
async def test_a_group_that_adds_the_bot_opens_under_each_of_its_names(
    database: Database, clock: Clock, name: ChatId
) -> None:
    assert not await stays_erased(database, clock, {"my_chat_member": MEMBER}, name, late_s=5)


@pytest.mark.parametrize("kind", ["edited_message", "message_reaction", "business_message"])
async def test_what_is_no_new_message_to_the_bot_opens_no_erased_chat(
    database: Database, clock: Clock, kind: str
) -> None:
    event, _ = EXAMPLES[kind]

    assert await stays_erased(database, clock, {kind: event}, PRIVATE, late_s=5)
