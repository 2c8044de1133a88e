"""From a call to a message of the engine: an aiogram method, or what a client of the API wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiogram import Bot
from aiogram.types import InputFile
from pydantic import TypeAdapter, ValidationError

from api.ports import Refusal
from bot import edits
from bot.methods import BY_NAME, COUNTED, AnyMethod, Counted
from engine.ids import Ids
from engine.messages import ChatId, Guarantee, Outgoing, Priority
from engine.ports import Clock

TEXT_UNITS_MAX = 4096
"""UTF-16 units of a text without markup. Source: https://core.telegram.org/bots/api#sendmessage"""


PAID = "allow_paid_broadcast"
"""Up to 1000 messages a second for 0.1 Star each. Source: https://core.telegram.org/bots/api#sendmessage"""

_BOOL = TypeAdapter(bool)


class UploadRefused(Refusal):
    """A file's bytes cannot be kept in the queue yet; a ``file_id`` or a URL can."""

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} carries a file to upload, which cannot be queued yet; pass a file_id or a URL")


class MethodComposer:
    """See ``api.ports.Composer``; takes aiogram's methods too."""

    def __init__(self, *, clock: Clock, ids: Ids, may_pay: bool = False) -> None:
        self._clock = clock
        self._ids = ids
        self._may_pay = may_pay

    def compose(
        self, bot_id: int, chat_id: ChatId | None, method: str, params: Mapping[str, Any], **options: Any
    ) -> Outgoing:
        """See ``Composer``."""
        known = BY_NAME.get(method.lower())
        if known is None:
            raise Refusal(f"{_short(method)} is no method of Telegram; for a plain text it is sendMessage")
        name = known.__api_method__
        rule = COUNTED.get(name)
        if rule is None:
            raise Refusal(f"{name} is not sent through the queue; call it with the bot itself")
        check(known, params if chat_id is None else {**params, "chat_id": chat_id})
        return self._outgoing(bot_id, name, rule, {**params, "chat_id": chat_id}, **options)

    def from_method(self, bot: Bot, method: AnyMethod, rule: Counted, **options: Any) -> Outgoing:
        """Make a message from an aiogram method, with the bot's defaults filled in.

        Raises:
            UploadRefused: It carries the bytes of a file.
            Refusal: It would cost Stars, and none may be spent.
        """
        files: dict[str, InputFile] = {}
        prepare = bot.session.prepare_value
        params = {
            name: prepared
            for name, value in method.model_dump(warnings=False).items()
            if (prepared := prepare(value, bot=bot, files=files, _dumps_json=False)) is not None
        }
        if files:
            raise UploadRefused(method.__api_method__)
        return self._outgoing(bot.id, method.__api_method__, rule, params, **options)

    def _outgoing(self, bot_id: int, name: str, rule: Counted, params: dict[str, Any], **options: Any) -> Outgoing:
        now_ms = self._clock()
        chat_id = rule.chat_id(params)
        params.pop("chat_id", None)
        is_paid = _take_paid(name, params)
        if is_paid and not self._may_pay:
            raise Refusal(
                f"{name} with {PAID} costs Stars, and none may be spent; set TELEGRAM_PAID_STARS_CAP to how many a day"
            )
        return Outgoing(
            id=self._ids.new(now_ms),
            bot_id=bot_id,
            chat_id=chat_id,
            method=name,
            params=msgspec.json.encode(params),
            priority=options.pop("priority", None) or Priority.NORMAL,
            guarantee=options.pop("guarantee", None) or Guarantee.AT_LEAST_ONCE,
            cost=rule.cost(params),
            submitted_at_ms=now_ms,
            is_paid=is_paid,
            replaces=None if chat_id is None or options.get("ready_at_ms") else edits.replaces(name, params),
            **options,
        )


def _take_paid(name: str, params: dict[str, Any]) -> bool:
    """Take out of the parameters whether a call is to be paid for; it is put back when it is sent as such."""
    if PAID not in BY_NAME[name.lower()].model_fields:
        return False
    return _BOOL.validate_python(params.pop(PAID, None) or False)


def check(method: type[AnyMethod], params: Mapping[str, Any]) -> None:
    """Refuse what Telegram would refuse for certain, before it is accepted.

    Raises:
        Refusal: One sentence that names the parameter.
    """
    try:
        method.model_validate(dict(params))
    except ValidationError as error:
        raise Refusal(_sentence(method.__api_method__, error)) from None
    text = params.get("text")
    if isinstance(text, str):
        _check_text(method.__api_method__, text, is_plain=not params.get("parse_mode"))


def _check_text(name: str, text: str, *, is_plain: bool) -> None:
    if not text.strip():
        raise Refusal(f"{name} needs a text that is not empty")
    units = len(text.encode("utf-16-le")) // 2
    # Markup does not count, and only Telegram can tell what is left of it.
    if is_plain and units > TEXT_UNITS_MAX:
        raise Refusal(f"text has {units} characters, and Telegram takes {TEXT_UNITS_MAX}; send it in parts")


def _sentence(name: str, error: ValidationError) -> str:
    first = error.errors()[0]
    where = str(first["loc"][0])  # what follows are the names of types that it might have been
    if first["type"] == "missing":
        return f"{name} needs {where}"
    return f"{name}: {where} is {_short(first['input'])}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def body_of(message: Outgoing) -> bytes:
    """Return the JSON body of a message's call: the stored parameters, and the chat in front of them.

    The chat stands apart, so that a migration need not touch what is stored; and so does whether it is
    paid for, which is known when it is leased.

    >>> body_of(Outgoing(id="", bot_id=1, chat_id=-5, method="sendMessage", params=b'{"text":"a"}', is_paid=True))
    b'{"chat_id":-5,"allow_paid_broadcast":true,"text":"a"}'
    """
    chat_id, first = message.chat_id, []
    if chat_id is not None and not (isinstance(chat_id, str) and chat_id.startswith("inline:")):
        first.append(b'"chat_id":' + msgspec.json.encode(chat_id))
    if message.is_paid:
        first.append(b'"allow_paid_broadcast":true')
    if message.params != b"{}":
        first.append(message.params[1:-1])
    return b"{" + b",".join(first) + b"}"
