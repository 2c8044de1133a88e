"""Where the numbers of messages stand in calls."""

from __future__ import annotations

import pytest
from aiogram.types import ReplyParameters

from tempogram.bot.telegram.method_classes import every_method
from tempogram.bot.telegram.methods import QUEUED
from tempogram.bot.telegram.references import CHANGING, MANY, ONE, QUOTE, Kind, handles_of, may_refer, with_numbers
from tests.fakes import outgoing

NO_MESSAGES = {"direct_messages_topic_id", "ephemeral_message_id", "inline_message_id", "message_effect_id"}
"""Parameters that name no message of a chat, or only as long as it is shown."""

TOPICS = {"message_thread_id"}
"""A topic has its number from a call that is always waited for."""


def test_each_parameter_of_aiogram_that_names_a_message_is_looked_at() -> None:
    names = {name for method in every_method().values() for name in method.model_fields}
    naming = {name for name in names if "message" in name and name.endswith(("_id", "_ids"))}

    assert naming - NO_MESSAGES - TOPICS == {*ONE, MANY}
    assert QUOTE in names
    assert {name for name in ReplyParameters.model_fields if name.endswith("message_id")} - NO_MESSAGES == {
        "message_id"
    }


def test_each_method_that_names_a_message_is_of_a_kind() -> None:
    naming = {name for name, method in every_method().items() if {"message_id", MANY} & method.model_fields.keys()}

    others = {name for name in naming if Kind.of(name) is Kind.OTHER}

    assert QUEUED.keys() >= CHANGING
    assert others == {
        "approveSuggestedPost",
        "declineSuggestedPost",
        "deleteMessageReaction",
        "getGameHighScores",
        "pinChatMessage",
        "readBusinessMessage",
        "setMessageReaction",
        "unpinChatMessage",
    }


@pytest.mark.parametrize(
    ("params", "numbers"),
    [
        (b'{"message_id":-1,"text":"a"}', [-1]),
        (b'{"message_ids":[7,-2,-1]}', [-2, -1]),
        (b'{"text":"a","reply_parameters":{"chat_id":-5,"message_id":-3}}', [-3]),
        (b'{"text":"a","reply_to_message_id": -4}', [-4]),
        (b'{"message_id":7,"chat_id":-5}', []),
        (b'{"text":"\\"message_id\\":-1"}', []),
        (b'{"text":"a"}', []),
    ],
)
def test_handles_are_found(params: bytes, numbers: list[int]) -> None:
    message = outgoing("a", params=params)

    assert handles_of(message) == numbers
    assert may_refer(message) or numbers == []


def test_numbers_are_put_in_wherever_handles_stand() -> None:
    numbers = {-1: 101, -2: 102, 7: 7}

    params = with_numbers(
        {"message_id": -1, "message_ids": [7, -2], "reply_parameters": {"message_id": -2, "quote": "q"}, "text": "-1"},
        numbers.__getitem__,
    )

    assert params == {
        "message_id": 101,
        "message_ids": [7, 102],
        "reply_parameters": {"message_id": 102, "quote": "q"},
        "text": "-1",
    }
