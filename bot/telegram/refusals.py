"""What a refusal means beyond its words, if its message has a history: see ``engine.sending.history``.

Sources: https://github.com/tdlib/telegram-bot-api (``Client.cpp``, the texts of its errors) and
https://core.telegram.org/bots/api#responseparameters (a group that has become a supergroup has another id; the
messages of the old one are not in the new one)
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import msgspec

from tempogram.bot.telegram.methods import MAY_RETURN_TRUE, numbered
from tempogram.engine.model.messages import Outgoing, Rest
from tempogram.engine.model.outcomes import Doubt, Outcome, Rejected, Sent, Unquoted

TWO_CHAT_METHODS = frozenset({"copyMessage", "copyMessages", "forwardMessage", "forwardMessages"})
"""Methods that name two chats, either of which may have removed the bot."""

TRUE = b'{"ok":true,"result":true}'
"""What is known of a call whose answer was lost: that it was done."""

_DONE_BEFORE = {
    "deleteMessage": re.compile(r"message to delete not found"),
    "deleteMessages": re.compile(r"message to delete not found"),
    "unpinChatMessage": re.compile(r"message to unpin not found"),
}
"""What is answered when there is nothing left to be done; of every other method ``_NOT_MODIFIED``."""

_NOT_MODIFIED = re.compile(r"not[ _]modified", re.IGNORECASE)

_NO_QUOTE = re.compile(r"(message to be replied|message to reply|replied message|reply message) not found")

_NO_MESSAGE = re.compile(r"message (to [a-z]+|with poll to stop) not found|message not found|MESSAGE_ID_INVALID")

_QUOTE = ("reply_parameters", "reply_to_message_id", "allow_sending_without_reply")

BASIC_GROUP_ID_MIN = -999_999_999_999
"""Below are supergroups and channels: https://core.telegram.org/api/bots/ids"""

MOVED = "the group has become a supergroup since, in which its messages have no such ids"


def with_doubt(message: Outgoing, outcome: Outcome) -> Outcome:
    """Return the outcome of a message's call, with what it may mean if it is a refusal."""
    if not isinstance(outcome, Rejected) or outcome.code != 400:
        return outcome
    doubt = Doubt(_if_done(message, outcome.reason), _if_moved(message, outcome))
    return outcome if doubt == Doubt() else replace(outcome, doubt=doubt)


def _if_done(message: Outgoing, reason: str) -> Sent | None:
    said = _DONE_BEFORE.get(message.method, _NOT_MODIFIED)
    if not said.search(reason) or message.method not in MAY_RETURN_TRUE:
        return None
    message_id = msgspec.json.decode(message.params).get("message_id")
    return Sent(message_id if isinstance(message_id, int) else None, TRUE)


def _if_moved(message: Outgoing, refused: Rejected) -> Unquoted | Rejected | None:
    if _NO_QUOTE.search(refused.reason):
        rest = without_quote(message)
        return None if rest is None else Unquoted(rest, refused.reason)
    if _NO_MESSAGE.search(refused.reason) and message.method not in TWO_CHAT_METHODS:
        return replace(refused, reason=f"{refused.reason} ({MOVED})")
    return None


def after_move(message: Outgoing) -> Unquoted | Rejected | None:
    """Return what becomes of a message that was submitted before its group moved, if it names a message of the group.

    A supergroup has a count of message ids of its own: the same number is another message there, which must not be
    quoted, edited, pinned or deleted instead. The quote of a message in a chat that is no group of the kind that moves
    stays right.
    """
    rest = None if _quotes_another_chat(message) else without_quote(message)
    if rest is not None:
        return Unquoted(rest, f"it replies to a message that stayed behind: {MOVED}")
    names_one = not msgspec.json.decode(message.params, type=dict).keys().isdisjoint(("message_id", "message_ids"))
    if names_one and message.method not in TWO_CHAT_METHODS:
        return Rejected(400, f"{message.method} names a message that stayed behind: {MOVED}")
    return None


def without_quote(message: Outgoing) -> Rest | None:
    """Return the same call without the message that it replies to; None if it replies to none.

    >>> without_quote(Outgoing(id="", bot_id=1, chat_id=-5, method="sendMessage", params=b'{"text":"a"}'))
    """
    params: dict[str, Any] = msgspec.json.decode(message.params)
    left = {name: value for name, value in params.items() if name not in _QUOTE}
    if len(left) == len(params):
        return None
    return Rest(message.method, msgspec.json.encode(left), message.cost)


def _quotes_another_chat(message: Outgoing) -> bool:
    """Tell whether a message quotes one of another chat, which cannot be the group that its chat was."""
    params: dict[str, Any] = msgspec.json.decode(message.params)
    quote = params.get("reply_parameters")
    chat_id = quote.get("chat_id") if isinstance(quote, dict) else None
    if not isinstance(chat_id, int | str):
        return False
    number = numbered(chat_id)
    may_be_old = isinstance(number, int) and BASIC_GROUP_ID_MIN <= number < 0
    return number != message.chat_id and not may_be_old
