"""What a call is submitted with: its own options, its block's, its update's; and under which key."""

from __future__ import annotations

import pytest
from aiogram.methods import CreateChatInviteLink, DeleteMessage, EditMessageText, GetMe, SendMessage

from tempogram.bot.calls.call_options import CallOptions
from tempogram.bot.calls.intents import Intent, intent_of
from tempogram.bot.telegram import update_context
from tempogram.bot.telegram.method_classes import AnyMethod
from tempogram.bot.telegram.update_context import UpdateContext
from tempogram.engine.model.messages import Priority

NO_OPTIONS = CallOptions()
UPDATE = "update:42:11"


def intent(method: AnyMethod, options: CallOptions = NO_OPTIONS) -> Intent:
    found = intent_of(method, options)
    assert isinstance(found, Intent)
    return found


def test_a_call_outside_of_a_handler_has_only_its_own_options() -> None:
    found = intent(SendMessage(chat_id=7, text="a"))

    assert (found.options, found.user_id) == (NO_OPTIONS, None)


@pytest.mark.parametrize(
    ("method", "key"),
    [
        (SendMessage(chat_id=7, text="a"), f"{UPDATE}:sendMessage:7:1"),
        (SendMessage(chat_id="7", text="a"), f"{UPDATE}:sendMessage:7:1"),
        (SendMessage(chat_id="@News", text="a"), f"{UPDATE}:sendMessage:@news:1"),
        (EditMessageText(inline_message_id="AbC", text="a"), f"{UPDATE}:editMessageText:inline:AbC:1"),
        (DeleteMessage(chat_id=7, message_id=3), f"{UPDATE}:deleteMessage:7:1"),
        (CreateChatInviteLink(chat_id=7), None),  # its answer is not kept, so it is made again
    ],
    ids=lambda each: "" if each is None or isinstance(each, str) else type(each).__name__,
)
def test_a_call_of_a_handler_is_accepted_once_under_the_key_of_its_update(method: AnyMethod, key: str | None) -> None:
    with update_context.of(UpdateContext(42, 11, Priority.HIGH, user_id=5)):
        found = intent(method)

    assert (found.options.dedup_key, found.options.priority, found.user_id) == (key, Priority.HIGH, 5)


def test_a_key_of_the_callers_own_is_kept_from_those_of_handlers() -> None:
    with update_context.of(UpdateContext(42, 11, Priority.HIGH)):
        own = intent(SendMessage(chat_id=7, text="a"), CallOptions(dedup_key="order-7", priority=Priority.LOW))
        next_one = intent(SendMessage(chat_id=7, text="a"))

    assert (own.options.dedup_key, own.options.priority) == ("client:order-7", Priority.LOW)
    assert next_one.options.dedup_key == f"{UPDATE}:sendMessage:7:1"


def test_a_method_that_does_not_pass_the_queue_has_no_intent() -> None:
    assert "getMe does not pass the queue" in str(intent_of(GetMe(), NO_OPTIONS))
