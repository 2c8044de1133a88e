"""Turns a Bot API call into a message of the engine: an aiogram method, or a request of the API."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from aiogram import Bot
from aiogram.types import BufferedInputFile, InputFile
from msgspec.structs import replace
from pydantic import TypeAdapter

from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.bot.telegram import edit_coalescing
from tempogram.bot.telegram.call_body import ATTACHED, file_references
from tempogram.bot.telegram.method_classes import BY_NAME, AnyMethod
from tempogram.bot.telegram.methods import QUEUED, Rule
from tempogram.bot.telegram.responses import UNREADABLE
from tempogram.bot.validation import parameter_limits, parameter_types
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import ChatId, Guarantee, Outgoing, Priority
from tempogram.engine.ports import Clock

PAID = "allow_paid_broadcast"
"""Up to 1000 messages a second for 0.1 Star each. Source: https://core.telegram.org/bots/api#sendmessage"""

SILENT = "disable_notification"

_BOOL = TypeAdapter(bool)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A method as it will be stored, and the files that its parameters name by ``attach://``."""

    bot_id: int
    name: str
    params: dict[str, Any]
    files: dict[str, InputFile]


UNIONS = (Union, UnionType)


class MethodComposer:
    """See ``api.core.ports.Composer``; takes aiogram's methods too."""

    def __init__(self, *, clock: Clock, ids: Ids, may_pay: bool = False) -> None:
        self._clock = clock
        self._ids = ids
        self._may_pay = may_pay

    def compose(
        self,
        bot_id: int,
        chat_id: ChatId | None,
        method: str,
        params: Mapping[str, Any],
        *,
        files: Collection[str] = (),
        priority: Priority = Priority.NORMAL,
        guarantee: Guarantee = Guarantee.AT_LEAST_ONCE,
        ready_at_ms: int = 0,
        expires_at_ms: int | None = None,
        dedup_key: str | None = None,
        user_id: int | None = None,
        tag: str | None = None,
    ) -> Outgoing:
        """See ``Composer``."""
        known = BY_NAME.get(method.lower())
        if known is None:
            raise Refusal(f"{short(method)} is not a method of the Bot API; for a plain text use sendMessage")
        name = known.__api_method__
        rule = QUEUED.get(name)
        if rule is None:
            raise Refusal(f"{name} is not sent through the queue; call it on the Bot API directly")
        given = read(known, params)
        parameter_limits.check(name, given)  # before their types, which takes a second of 30,000 items
        name_files(known, given, files)
        checked = with_files(given, files)
        parameter_types.check(known, checked if chat_id is None else {**checked, "chat_id": chat_id})
        message = self._outgoing(bot_id, name, rule, {**given, "chat_id": chat_id})
        return replace(
            _at(message, guarantee, ready_at_ms),
            priority=priority,
            expires_at_ms=expires_at_ms,
            dedup_key=dedup_key,
            user_id=user_id,
            tag=tag,
        )

    def from_method(
        self,
        prepared: Prepared,
        rule: Rule,
        *,
        priority: Priority = Priority.NORMAL,
        guarantee: Guarantee = Guarantee.AT_LEAST_ONCE,
        ready_at_ms: int = 0,
        expires_in_s: float | None = None,
        dedup_key: str | None = None,
        user_id: int | None = None,
        tag: str | None = None,
    ) -> Outgoing:
        """Make a message from an aiogram method; ``expires_in_s`` is counted from its time, or else from now."""
        parameter_limits.check(prepared.name, prepared.params)
        message = self._outgoing(prepared.bot_id, prepared.name, rule, prepared.params)
        from_ms = max(ready_at_ms, message.submitted_at_ms)
        return replace(
            _at(message, guarantee, ready_at_ms),
            priority=priority,
            expires_at_ms=None if expires_in_s is None else from_ms + round(expires_in_s * 1_000),
            dedup_key=dedup_key,
            user_id=user_id,
            tag=tag,
        )

    def _outgoing(self, bot_id: int, name: str, rule: Rule, params: dict[str, Any]) -> Outgoing:
        now_ms = self._clock()
        chat_id = rule.chat_id(params)
        params.pop("chat_id", None)
        is_paid = _take_paid(name, params)
        if is_paid and not self._may_pay:
            raise Refusal(
                f"{name} with {PAID} costs Stars, and the cap is 0; set TELEGRAM_PAID_STARS_CAP to how many a day"
            )
        return Outgoing(
            id=self._ids.new(now_ms),
            bot_id=bot_id,
            chat_id=chat_id,
            method=name,
            params=encoded(name, params),
            cost=rule.cost(params),
            submitted_at_ms=now_ms,
            guarantee=rule.guarantee(params),
            is_paid=is_paid,
            replaces=None if chat_id is None else edit_coalescing.replaces(name, params),
        )


def _at(message: Outgoing, guarantee: Guarantee, ready_at_ms: int) -> Outgoing:
    """Return a message with a time of its own, and a guarantee that its method may make stricter."""
    return replace(
        message,
        guarantee=guarantee if message.guarantee is Guarantee.AT_LEAST_ONCE else message.guarantee,
        ready_at_ms=ready_at_ms,
        replaces=None if ready_at_ms else message.replaces,  # one with a time of its own replaces nothing
    )


def _take_paid(name: str, params: dict[str, Any]) -> bool:
    """Remove ``allow_paid_broadcast`` and return it; ``body_of`` puts it back into a call that is paid for."""
    if PAID not in BY_NAME[name.lower()].model_fields:
        return False
    return _BOOL.validate_python(params.pop(PAID, None) or False)


def prepare(bot: Bot, method: AnyMethod) -> Prepared:
    """Return a method's parameters and files, with the bot's defaults filled in."""
    files: dict[str, InputFile] = {}
    if bot.default.disable_notification is not None and getattr(method, SILENT, True) is None:
        method = method.model_copy(
            update={SILENT: bot.default.disable_notification}
        )  # aiogram knows it, and forgets it
    params = {
        name: prepared
        for name, value in method.model_dump(warnings=False).items()
        if (prepared := bot.session.prepare_value(value, bot=bot, files=files, _dumps_json=False)) is not None
    }
    return Prepared(bot.id, method.__api_method__, params, files)


def read(method: type[AnyMethod], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as JSON; like Telegram we also take JSON as text, as multipart forms send it.

    >>> read(BY_NAME["sendpoll"], {"options": '["a","b"]', "is_anonymous": "true", "question": "[1]?"})
    {'options': ['a', 'b'], 'is_anonymous': True, 'question': '[1]?'}
    """
    return {
        name: _decoded(value) if isinstance(value, str) and not _takes(method, name, str) else value
        for name, value in params.items()
    }


def name_files(method: type[AnyMethod], params: dict[str, Any], files: Collection[str]) -> None:
    """Name each file in the parameter of its name, unless a parameter has its ``attach://`` already.

    Raises:
        Refusal: No parameter takes the file.
    """
    named = {reference.name for reference in file_references(params)}
    for name in files:
        if name in named:
            continue
        if not _takes(method, name, InputFile):
            raise Refusal(f"{method.__api_method__} takes no file {short(name)}, and no parameter is {ATTACHED}{name}")
        params[name] = ATTACHED + name


def with_files(params: dict[str, Any], files: Collection[str]) -> dict[str, Any]:
    """Return the parameters with files in place of their names, as aiogram's validation expects them."""
    if not files:
        return params
    copied = deepcopy(params)
    for reference in list(file_references(copied)):
        if reference.name in files:
            reference.put(_StandIn(b"", reference.name))
    return copied


class _StandIn(BufferedInputFile):
    """Stands for a file during validation; a refusal may quote it."""

    def __repr__(self) -> str:
        return f"the file {self.filename!r}"


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except UNREADABLE:
        return text  # ``parameter_types`` says what is wrong with it


@cache
def _takes(method: type[AnyMethod], name: str, kind: type) -> bool:
    """Tell whether a parameter may be of a type; an unknown parameter counts as text."""
    field = method.model_fields.get(name)
    return kind is str if field is None else kind in _kinds(field.annotation)


def _kinds(annotation: object) -> set[object]:
    return {annotation}.union(*(_kinds(each) for each in get_args(annotation) if get_origin(annotation) in UNIONS))


def encoded(name: str, params: Mapping[str, Any]) -> bytes:
    """Return parameters as JSON.

    Raises:
        Refusal: A text in them is no Unicode, and the sentence begins with Telegram's words for it.
    """
    try:
        return msgspec.json.encode(params)
    except UnicodeEncodeError:
        raise Refusal(f"strings must be encoded in UTF-8: {name} has half of a surrogate pair") from None
