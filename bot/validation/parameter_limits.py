"""How many items and characters Telegram takes in each parameter, so that a call beyond is refused before it waits.

Only what Telegram is certain to refuse stands here, with its own words first where they are known. It takes an album of
one item, for example, and shortens the title of a chat by itself, whatever its documentation says.

Sources: https://core.telegram.org/bots/api#available-methods (each method's parameters),
https://github.com/tdlib/telegram-bot-api (``Client.cpp``) and https://github.com/tdlib/td (``PollOption.cpp``,
``MessageQueryManager.cpp``) for the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tempogram.api.core.ports import Refusal

TEXT_MAX = 4_096
"""Code points of a text. Source: https://core.telegram.org/constructor/config (``message_length_max``)"""

CAPTION_MAX = 1_024
"""Source: https://core.telegram.org/constructor/config (``caption_length_max``)"""

STORY_CAPTION_MAX = 2_048
"""Source: https://core.telegram.org/bots/api#poststory"""

_DROPPED = re.compile("[\r\u0333\u033f\u030a\u2028-\u202e]")
"""What Telegram takes out of a text before it counts. Source: https://github.com/tdlib/td (``clean_input_string``)"""

EMPTY = "message text is empty"


@dataclass(frozen=True, slots=True)
class Items:
    """How many items a list may have.

    Attributes:
        path: The parameter; ``checklist.tasks`` is a list inside of one.
        least: Fewer are refused.
        most: More are refused.
        too_few: Telegram's words, without ``Bad Request: ``; "" if they are not known.
        too_many: The same.
    """

    path: str
    least: int
    most: int
    too_few: str = ""
    too_many: str = ""

    def check(self, method: str, params: Mapping[str, Any]) -> None:
        """Refuse a list that is too short or too long."""
        items = _at(params, self.path)
        if not isinstance(items, list | tuple) or self.least <= len(items) <= self.most:
            return
        words = self.too_few if len(items) < self.least else self.too_many
        takes = f"{self.least} to {self.most}" if self.least else f"up to {self.most}"
        raise _refusal(words, f"{method} takes {takes} {self.path}, not {len(items):,}")


@dataclass(frozen=True, slots=True)
class Characters:
    """How many characters a text may have, in code points, after entities are parsed.

    Entities are placed in UTF-16 units all the same.

    Attributes:
        path: The parameter; ``media[].caption`` is one of each item of a list, ``options[]`` the item or its ``text``.
        most: More are refused.
        words: Telegram's, without ``Bad Request: ``; "" if they are not known.
        parse_mode: The parameter beside it that says that it has markup, which does not count: only Telegram can tell
            what is left of it then.
    """

    path: str
    most: int
    words: str = ""
    parse_mode: str = "parse_mode"

    def check(self, method: str, params: Mapping[str, Any]) -> None:
        """Refuse a text that is too long."""
        for beside, text in _texts(params, self.path):
            # What is short enough as it is need not be looked at; nearly every text is.
            if len(text) <= self.most or beside.get(self.parse_mode):
                continue
            if (length := length_of(text)) > self.most:
                what = f"{self.path} has {length:,} characters, and {method} takes {self.most:,}"
                raise _refusal(self.words, f"{what}; send it in parts")


def length_of(text: str) -> int:
    r"""Return how many characters of a text without markup Telegram counts.

    >>> length_of("🐎🐎"), length_of(" a\r\n")
    (2, 1)
    """
    return len(_DROPPED.sub("", text).strip())


Limit = Items | Characters

_TEXT = Characters("text", TEXT_MAX, "message is too long")
_CAPTION = Characters("caption", CAPTION_MAX, "message caption is too long")
_STORY_CAPTION = Characters("caption", STORY_CAPTION_MAX)
_IDS = Items("message_ids", 1, 100, "message identifiers are not specified", "too many message identifiers specified")
_TIPS = Items("suggested_tip_amounts", 0, 4, too_many="there can be at most 4 suggested tip amounts")
_TASKS = Items("checklist.tasks", 1, 30)

LIMITS: Mapping[str, tuple[Limit, ...]] = {
    **dict.fromkeys(("sendMessage", "editMessageText", "editEphemeralMessageText", "sendMessageDraft"), (_TEXT,)),
    **dict.fromkeys(
        """
        copyMessage editEphemeralMessageCaption editMessageCaption sendAnimation sendAudio sendDocument sendLivePhoto
        sendPhoto sendVideo sendVoice
        """.split(),
        (_CAPTION,),
    ),
    **dict.fromkeys(
        ("editMessageMedia", "editEphemeralMessageMedia"), (Characters("media.caption", CAPTION_MAX, _CAPTION.words),)
    ),
    **dict.fromkeys(("postStory", "editStory"), (_STORY_CAPTION,)),
    **dict.fromkeys(("copyMessages", "forwardMessages", "deleteMessages", "deleteBusinessMessages"), (_IDS,)),
    "sendMediaGroup": (
        Items("media", 1, 10, "there are no messages to send", "too many messages to send as an album"),
        Characters("media[].caption", CAPTION_MAX, _CAPTION.words),
    ),
    "sendPaidMedia": (Items("media", 1, 10), _CAPTION),
    "sendPoll": (
        Items("options", 1, 12, "poll must have at least one answer option", "poll can't have more than 12 options"),
        Items("country_codes", 0, 12),
        Characters("question", 300, "poll question length must not exceed 300", "question_parse_mode"),
        Characters("options[]", 100, "poll options length must not exceed 100", "text_parse_mode"),
        Characters("explanation", 200, parse_mode="explanation_parse_mode"),
        Characters("description", CAPTION_MAX, parse_mode="description_parse_mode"),
    ),
    **dict.fromkeys(("sendChecklist", "editMessageChecklist"), (_TASKS,)),
    **dict.fromkeys(("sendInvoice", "createInvoiceLink"), (_TIPS,)),
    "setMyCommands": (Items("commands", 0, 100, too_many="BOT_COMMANDS_TOO_MUCH"),),
    "setManagedBotAccessSettings": (Items("added_user_ids", 0, 10),),
    "createNewStickerSet": (Items("stickers", 1, 50),),
    "setStickerEmojiList": (Items("emoji_list", 1, 20),),
    "setStickerKeywords": (Items("keywords", 0, 20),),
}
"""By method; a method that is not here has no list or text of which Telegram certainly refuses any length."""

NEEDS_TEXT = frozenset({"sendMessage", "editMessageText", "editEphemeralMessageText"})
"""Methods whose ``text`` must not be empty."""

UNBOUNDED: Mapping[str, str] = {
    **dict.fromkeys(
        """
        entities caption_entities text_entities question_entities explanation_entities description_entities
        """.split(),
        "what Telegram does not take of them it ignores",
    ),
    "prices": "no number is documented",
    "areas": "no number is documented",
    "errors": "no number is documented",
    "reaction": "how many a bot may set depends on the chat",
    "correct_option_ids": "they name options, of which there are few",
}
"""Lists of which Telegram's documentation names no number, or one that may change, by parameter; and why."""


def check(method: str, params: Mapping[str, Any]) -> None:
    """Refuse a call with more items or characters than Telegram takes, or fewer.

    A business account may have larger captions than a bot, so Telegram alone judges what is sent on behalf of one.

    Raises:
        Refusal: One sentence that begins with Telegram's words, if they are known.
    """
    if method in NEEDS_TEXT and isinstance(text := params.get("text"), str) and not text.strip():
        raise _refusal(EMPTY, f"{method} needs a text")
    for limit in LIMITS.get(method, ()):
        if isinstance(limit, Items) or not params.get("business_connection_id"):
            limit.check(method, params)


def _refusal(words: str, what: str) -> Refusal:
    return Refusal(f"{words}: {what}" if words else what)


def _at(params: Mapping[str, Any], path: str) -> Any:
    """Return what stands at a path; None if nothing does.

    >>> _at({"checklist": {"tasks": [1]}}, "checklist.tasks"), _at({"checklist": 7}, "checklist.tasks")
    ([1], None)
    """
    value: Any = params
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _texts(params: Mapping[str, Any], path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the texts at a path, each with what stands beside it.

    >>> [text for _, text in _texts({"options": ["a", {"text": "b"}]}, "options[]")]
    ['a', 'b']
    >>> [text for _, text in _texts({"media": [{"caption": "a"}, {}]}, "media[].caption")]
    ['a']
    """
    before, is_list, name = path.partition("[]")
    if is_list:
        found, name = _at(params, before), name.removeprefix(".") or "text"
    else:
        before, _, name = path.rpartition(".")
        found = [_at(params, before) if before else params]
    for item in found if isinstance(found, list | tuple) else ():
        text = item.get(name) if isinstance(item, Mapping) else item
        if isinstance(text, str):
            yield item if isinstance(item, Mapping) else {}, text
