"""Updates are handled one after another within the key under which aiogram keeps a state."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram.dispatcher.middlewares.user_context import UserContextMiddleware
from aiogram.types import Update

from tempogram.bot.updates.order import Order, OrderKey, UpdateOrder, is_query, order_key

USER = {"id": 4, "is_bot": False, "first_name": "Anna"}
GROUP = {"id": -5, "type": "supergroup", "title": "Chess club"}
PRIVATE = {"id": 4, "type": "private", "first_name": "Anna"}
MESSAGE = {"message_id": 1, "date": 1, "chat": GROUP, "from": USER, "text": "hello"}
TOPIC = {"message_thread_id": 7, "is_topic_message": True}
MEMBER = {"status": "left", "user": USER}
BOOST = {"boost_id": "b", "add_date": 1, "expiration_date": 2}

EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("message", MESSAGE),
    ("message", MESSAGE | {"chat": PRIVATE}),
    ("message", MESSAGE | TOPIC),
    ("message", MESSAGE | {"message_thread_id": 7}),  # a thread of replies is no topic
    ("edited_message", MESSAGE | TOPIC),
    ("channel_post", {"message_id": 1, "date": 1, "chat": GROUP | {"type": "channel"}}),
    ("business_message", MESSAGE | {"business_connection_id": "c"}),
    ("callback_query", {"id": "1", "from": USER, "chat_instance": "x", "message": MESSAGE | TOPIC}),
    ("callback_query", {"id": "1", "from": USER, "chat_instance": "x", "inline_message_id": "i"}),
    ("inline_query", {"id": "1", "from": USER, "query": "", "offset": ""}),
    ("chosen_inline_result", {"result_id": "1", "from": USER, "query": ""}),
    ("pre_checkout_query", {"id": "1", "from": USER, "currency": "EUR", "total_amount": 1, "invoice_payload": "p"}),
    ("poll_answer", {"poll_id": "p", "option_ids": [0], "option_persistent_ids": ["0"], "user": USER}),
    ("poll_answer", {"poll_id": "p", "option_ids": [0], "option_persistent_ids": ["0"], "voter_chat": GROUP}),
    (
        "my_chat_member",
        {"chat": GROUP, "from": USER, "date": 1, "old_chat_member": MEMBER, "new_chat_member": MEMBER},
    ),
    ("chat_join_request", {"chat": GROUP, "from": USER, "user_chat_id": 4, "date": 1}),
    (
        "message_reaction",
        {"chat": GROUP, "user": USER, "message_id": 1, "date": 1, "old_reaction": [], "new_reaction": []},
    ),
    ("message_reaction_count", {"chat": GROUP, "message_id": 1, "date": 1, "reactions": []}),
    ("chat_boost", {"chat": GROUP, "boost": BOOST | {"source": {"source": "premium", "user": USER}}}),
    ("chat_boost", {"chat": GROUP, "boost": BOOST | {"source": {"source": "gift_code", "user": USER}}}),
    ("business_connection", {"id": "c", "user": USER, "user_chat_id": 4, "date": 1, "is_enabled": True}),
    ("deleted_business_messages", {"business_connection_id": "c", "chat": PRIVATE, "message_ids": [1]}),
    ("purchased_paid_media", {"from": USER, "paid_media_payload": "p"}),
]


@pytest.mark.parametrize(("kind", "event"), EVENTS, ids=[kind for kind, _ in EVENTS])
def test_the_key_is_what_aiogram_tells_states_apart_by(kind: str, event: dict[str, Any]) -> None:
    content = {"update_id": 1, kind: event}

    known = UserContextMiddleware.resolve_event_context(Update.model_validate(content))

    chat_id = known.user_id if known.chat_id is None else known.chat_id
    assert order_key(content) == (chat_id, known.user_id, known.thread_id, known.business_connection_id)


def test_strictly_by_chat_the_users_and_topics_of_a_chat_have_one_key() -> None:
    keys = {
        order_key({"update_id": 1, "message": MESSAGE | more}, Order.CHAT)
        for more in ({}, TOPIC, {"from": USER | {"id": 9}}, {"business_connection_id": "c"})
    }

    assert keys == {OrderKey(-5)}


@pytest.mark.parametrize(
    "content",
    [
        {"update_id": 1},
        {"update_id": 1, "message": "nonsense"},
        {"update_id": 1, "message": {"chat": "nonsense", "from": 7, "message_thread_id": "7", "is_topic_message": 1}},
        {"update_id": 1, "chat_boost": {"boost": {"source": 7}}},
    ],
)
def test_an_update_that_makes_no_sense_has_the_empty_key(content: dict[str, Any]) -> None:
    assert order_key(content) == OrderKey()


@pytest.mark.parametrize(
    ("kind", "starts_at_once"),
    [
        ("callback_query", True),
        ("inline_query", True),
        ("pre_checkout_query", True),
        ("shipping_query", True),
        ("message", False),
        ("chat_join_request", False),
    ],
)
def test_a_query_starts_at_once(kind: str, starts_at_once: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert is_query({"update_id": 1, kind: {}}) is starts_at_once


def test_an_item_starts_when_all_before_it_are_ahead_no_longer() -> None:
    order: UpdateOrder[str] = UpdateOrder()

    assert order.add("key", "first", waits=True)
    assert order.add("key", "a query", waits=False)
    assert not order.add("key", "second", waits=True)
    assert order.add("another key", "its first", waits=True)
    assert [order.release(each) for each in ("first", "a query", "second")] == [[], ["second"], []]
    assert order.add("key", "third", waits=True)


def test_a_query_holds_up_what_came_after_it_and_nothing_before() -> None:
    order: UpdateOrder[str] = UpdateOrder()
    order.add("key", "first", waits=True)
    order.add("key", "second", waits=True)
    order.add("key", "a query", waits=False)
    order.add("key", "third", waits=True)

    assert [order.release(each) for each in ("first", "second", "a query")] == [["second"], [], ["third"]]
    assert order.release("third") == []
    assert not order._groups
    assert not order._group_of


def test_the_items_of_an_album_start_together_and_what_follows_waits_for_all_of_them() -> None:
    order: UpdateOrder[str] = UpdateOrder()
    order.add("key", "before", waits=True)

    started = [order.add("key", item, waits=True, album=item[0]) for item in ("a1", "a2", "b1")]
    order.add("key", "after", waits=True)

    assert started == [False, False, False]
    assert order.release("before") == ["a1", "a2"]
    assert [order.release(each) for each in ("a1", "a2", "b1", "after")] == [[], ["b1"], ["after"], []]


def test_an_item_that_comes_later_joins_its_album_unless_another_item_came_between() -> None:
    order: UpdateOrder[str] = UpdateOrder()

    assert order.add("key", "a1", waits=True, album="a")
    assert order.add("key", "a press", waits=False)
    assert order.add("key", "a2", waits=True, album="a")
    assert not order.add("key", "a text", waits=True)
    assert not order.add("key", "a3", waits=True, album="a")
