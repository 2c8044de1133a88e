"""What a refusal means beyond its words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import structs

from tempogram.bot.telegram.refusals import MOVED, after_move, with_doubt
from tempogram.engine.model.messages import Outgoing, Rest
from tempogram.engine.model.outcomes import Doubt, Failed, Rejected, Sent, Unquoted
from tests.fakes import outgoing

DONE = b'{"ok":true,"result":true}'
NOT_MODIFIED = (
    "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a "
    "current content and reply markup of the message"
)


def call(method: str, **params: Any) -> Outgoing:
    return structs.replace(outgoing("a"), method=method, params=msgspec.json.encode(params))


def doubt_of(message: Outgoing, reason: str, code: int = 400) -> Doubt | None:
    outcome = with_doubt(message, Rejected(code, reason))
    assert isinstance(outcome, Rejected)
    return outcome.doubt


@pytest.mark.parametrize(
    ("message", "reason", "number"),
    [
        (call("editMessageText", message_id=7, text="a"), NOT_MODIFIED, 7),
        (call("editMessageReplyMarkup", inline_message_id="AbC"), NOT_MODIFIED, None),
        (call("setGameScore", message_id=7, user_id=1, score=2), "Bad Request: BOT_SCORE_NOT_MODIFIED", 7),
        (call("editForumTopic", message_thread_id=3), "Bad Request: TOPIC_NOT_MODIFIED", None),
        (call("setChatTitle", title="a"), "Bad Request: chat title is not modified", None),
        (call("deleteMessage", message_id=7), "Bad Request: message to delete not found", 7),
        (call("unpinChatMessage", message_id=7), "Bad Request: message to unpin not found", 7),
    ],
)
def test_what_is_done_already_may_have_been_done_by_an_earlier_call(
    message: Outgoing, reason: str, number: int | None
) -> None:
    doubt = doubt_of(message, reason)

    assert doubt is not None
    assert doubt.if_done == Sent(number, DONE)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (call("editMessageText", message_id=7, text="a"), "Bad Request: message to delete not found"),
        (call("deleteMessage", message_id=7), "Bad Request: message can't be deleted for everyone"),
        (call("stopPoll", message_id=7), "Bad Request: message is not modified"),
        (call("sendMessage", text="a"), "Bad Request: message text is empty"),
    ],
)
def test_any_other_refusal_tells_nothing_of_an_earlier_call(message: Outgoing, reason: str) -> None:
    doubt = doubt_of(message, reason)

    assert doubt is None or doubt.if_done is None


@pytest.mark.parametrize(
    "quote", [{"reply_parameters": {"message_id": 9}}, {"reply_to_message_id": 9, "allow_sending_without_reply": False}]
)
@pytest.mark.parametrize(
    "reason", ["message to be replied not found", "reply message not found", "replied message not found"]
)
def test_a_reply_to_nothing_may_go_without_its_quote(quote: dict[str, Any], reason: str) -> None:
    message = structs.replace(call("sendMessage", text="a", **quote), cost=1)

    doubt = doubt_of(message, f"Bad Request: {reason}")

    assert doubt is not None
    assert doubt.if_moved == Unquoted(Rest("sendMessage", b'{"text":"a"}', 1), f"Bad Request: {reason}")


def test_a_call_without_a_quote_is_not_sent_again_without_it() -> None:
    assert doubt_of(call("sendMessage", text="a"), "Bad Request: message to be replied not found") is None


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("editMessageText", "Bad Request: message to edit not found"),
        ("pinChatMessage", "Bad Request: message to pin not found"),
        ("stopPoll", "Bad Request: message with poll to stop not found"),
    ],
)
def test_a_call_about_an_unknown_message_says_why_if_its_group_has_moved(method: str, reason: str) -> None:
    doubt = doubt_of(call(method, message_id=7), reason)

    assert doubt is not None
    assert doubt.if_moved == Rejected(400, f"{reason} ({MOVED})")


def test_a_copy_names_a_message_of_another_chat_than_the_one_that_may_have_moved() -> None:
    assert (
        doubt_of(call("copyMessage", from_chat_id=-9, message_id=7), "Bad Request: message to copy not found") is None
    )


def test_only_a_refusal_of_the_call_itself_leaves_a_doubt() -> None:
    edit = call("editMessageText", message_id=7, text="a")

    assert doubt_of(edit, NOT_MODIFIED, code=403) is None
    assert with_doubt(edit, Failed(NOT_MODIFIED, 500)) == Failed(NOT_MODIFIED, 500)


@pytest.mark.parametrize("chat_id", [-1000000000009, "-1000000000009", 9, "@news"])
def test_a_quote_of_another_chat_does_not_stay_behind_with_the_group(chat_id: int | str) -> None:
    message = call("sendMessage", text="a", reply_parameters={"message_id": 9, "chat_id": chat_id})

    assert after_move(structs.replace(message, chat_id=-1000000000005)) is None


@pytest.mark.parametrize("chat_id", [-1000000000005, "-1000000000005", -5])
def test_a_quote_of_the_group_under_either_of_its_ids_stays_behind(chat_id: int | str) -> None:
    message = call("sendMessage", text="a", reply_parameters={"message_id": 9, "chat_id": chat_id})

    assert isinstance(after_move(structs.replace(message, chat_id=-1000000000005)), Unquoted)
