"""What a message that waits is after an edit: the same call with other content, if the kinds fit.

Source: https://core.telegram.org/bots/api#updating-messages
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from tempogram.engine.model.messages import Outgoing

Params = Mapping[str, Any]

TEXT = ("text", "parse_mode", "entities", "link_preview_options", "disable_web_page_preview")
CAPTION = ("caption", "parse_mode", "caption_entities", "show_caption_above_media")

CAPTIONED = frozenset("sendAnimation sendAudio sendDocument sendPhoto sendVideo sendVoice".split())
"""Messages that are one file with a caption."""

KEYBOARD = "reply_markup"
INLINE = "inline_keyboard"

WHERE = "business_connection_id"


def amended(waiting: Outgoing, edit: Outgoing) -> Outgoing | None:
    """Return a waiting message as an edit of it wants it to be; None if it must be sent before it can be edited.

    >>> waiting = Outgoing(id="a", bot_id=1, chat_id=5, method="sendMessage", params=b'{"text":"a"}')
    >>> edit = Outgoing(id="b", bot_id=1, chat_id=5, method="editMessageText", params=b'{"message_id":-1,"text":"b"}')
    >>> amended(waiting, edit).params
    b'{"text":"b"}'
    """
    names = _set_by(waiting.method, edit.method)
    before, after = msgspec.json.decode(waiting.params), msgspec.json.decode(edit.params)
    if names is None or not _fits(before, after):
        return None
    kept = {name: value for name, value in before.items() if name not in names}
    said = {name: value for name, value in after.items() if name in names}
    return replace(waiting, params=msgspec.json.encode(kept | said))


def _set_by(sending: str, editing: str) -> frozenset[str] | None:
    """Return the parameters of a message that an edit sets; those that it leaves out are unset."""
    match editing:
        case "editMessageText" if sending == "sendMessage":
            return frozenset({*TEXT, KEYBOARD})
        case "editMessageCaption" if sending in CAPTIONED:
            return frozenset({*CAPTION, KEYBOARD})
        case "editMessageReplyMarkup" if sending == "sendMessage" or sending in CAPTIONED:
            return frozenset({KEYBOARD})
        case _:
            return None


def _fits(before: Params, after: Params) -> bool:
    """Tell whether there is no other keyboard than an inline one, and both speak for the same business."""
    keyboard = before.get(KEYBOARD)
    is_inline = keyboard is None or (isinstance(keyboard, dict) and INLINE in keyboard)
    return is_inline and before.get(WHERE) == after.get(WHERE)
