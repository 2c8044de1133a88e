"""Calls that refer to messages by their handles: what becomes of each, and where it waits.

    the target is sent    the call goes with Telegram's number
    it ended unsent       the call is refused with its reason; a reply that allows it goes without
    it waits              a delete cancels it; an edit that fits changes it; anything else goes behind it
    it waits, in doubt    everything goes behind it: a call that was made for it may have reached Telegram

*Behind it* is in its lane, if the call takes a place there: the lane keeps the order, and the number is put in just
before the call. Any other call is *parked*: it waits outside of every lane until what it waits for has ended (see
``parked_messages``). A call also goes behind earlier calls of the same message where their order shows
(``references.COMES_AFTER``): so a chat ends as if nothing had ever waited.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from tempogram.bot.calls.amendments import amended
from tempogram.bot.telegram.methods import numbered
from tempogram.bot.telegram.references import (
    COMES_AFTER,
    MANY,
    QUOTE,
    Kind,
    Targets,
    handles_in,
    may_go_without_reply,
    may_refer,
    unknown,
    why_lost,
    with_telegrams_numbers,
)
from tempogram.bot.telegram.refusals import BASIC_GROUP_ID_MIN, without_quote
from tempogram.engine.model.errors import BrokerUnavailable, LedgerError, TargetLost
from tempogram.engine.model.messages import KEPT_MS, PARKED_MS, ChatId, Outgoing, Priority, Status
from tempogram.engine.ports import Broker, Handles, Ledger, Referral, Target
from tempogram.engine.recovery.cancellations import Cancellation, Cancellations
from tempogram.engine.recovery.parked_messages import ParkedMessages


@dataclass(frozen=True, slots=True)
class Done:
    """The call has nothing left to do: what it deletes will not be sent."""


@dataclass(frozen=True, slots=True)
class Amended:
    """A message that waits is as the call wants it to be; its end is the call's."""

    message_id: str


class HandleReferences:
    """See ``References``."""

    def __init__(
        self,
        *,
        handles: Handles,
        ledger: Ledger,
        broker: Broker,
        cancellations: Cancellations,
        parked_messages: ParkedMessages,
    ) -> None:
        self._handles = handles
        self._ledger = ledger
        self._broker = broker
        self._cancellations = cancellations
        self._parked_messages = parked_messages
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    def may_refer(self, message: Outgoing) -> bool:
        return may_refer(message)

    def in_order(self, bot_id: int) -> AbstractAsyncContextManager[object]:
        return self._locks[bot_id]

    async def place(self, message: Outgoing) -> Outgoing | TargetLost:
        params = msgspec.json.decode(message.params)
        if not handles_in(params):
            return message
        try:
            return await self._place(message, params)
        except TargetLost as lost:
            if not may_go_without_reply(params) or (alone := without_quote(message)) is None:
                return lost
            return await self.place(alone.of(message))

    async def change_waiting(self, message: Outgoing) -> Outgoing | Amended | Done:
        """Do at once what a call can do to a message that waits; return what is left of the call.

        Raises:
            LedgerError: The handles cannot be read.
        """
        match Kind.of(message.method):
            case Kind.CHANGE:
                return await self._amend(message)
            case Kind.DELETE:
                return await self._cancel(message)
            case _:
                return message

    # Behind others

    async def _place(self, message: Outgoing, params: dict[str, Any]) -> Outgoing:
        targets = await self._targets(message, params)
        message = _in_chat_of(message, params, next(iter(targets.values())))
        for number, target in targets.items():
            _check(message, params, number, target)
        target_ids = {target.message_id for target in targets.values()}
        earlier = await self._earlier(message, target_ids)
        waits_for = {target.message_id for target in targets.values() if target.is_open}
        waits_for |= {each.message_id for each in earlier}
        await self._handles.refer(message.id, target_ids, after_ids=waits_for)
        if not any(target.is_open for target in targets.values()):
            message = with_telegrams_numbers(message, targets)
        if not waits_for or message.ready_at_ms:  # with a time of its own, its targets are long sent by then
            return message
        if _may_share_lane(message, list(targets.values()), earlier):
            return _in_lane(message, targets.values(), earlier)
        self._parked_messages.watch(waits_for)
        return replace(message, ready_at_ms=PARKED_MS, replaces=None)

    async def _targets(self, message: Outgoing, params: Mapping[str, Any]) -> Targets:
        numbers = handles_in(params)
        targets = await self._handles.targets(message.bot_id, numbers)
        for number in numbers:
            if number not in targets:
                raise TargetLost(unknown(message.bot_id, number))
        return targets

    async def _earlier(self, message: Outgoing, target_ids: Collection[str]) -> list[Referral]:
        """Return the calls of the same messages after which this one must go."""
        referrals = [each for each in await self._handles.referrals(target_ids) if each.message_id != message.id]
        if any(Kind.of(each.method) is Kind.DELETE for each in referrals):
            raise TargetLost(f"Bad Request: {message.method} refers to a message that is about to be deleted")
        return [each for each in referrals if Kind.of(each.method) in COMES_AFTER[Kind.of(message.method)]]

    # At once

    async def _amend(self, edit: Outgoing) -> Outgoing | Amended:
        """Make what waits as an edit wants it to be, if the edit fits and nothing goes between the two."""
        targets = await self._handles.targets(edit.bot_id, handles_in(msgspec.json.decode(edit.params)))
        single = [each.message_id for each in targets.values() if each.is_open and each.items == 1]
        waiting = await self._ledger.open_among(single)
        changed = amended(waiting[0], edit) if len(waiting) == 1 else None
        if changed is None or not _is_same_chat(edit.chat_id, changed.chat_id) or await self._is_kept(edit, changed):
            return edit
        try:
            (is_amended,) = await self._broker.amend([changed := replace(changed, ready_at_ms=KEPT_MS)])
        except BrokerUnavailable:
            return edit
        if not is_amended:
            return edit
        await self._ledger.amend([changed])
        return Amended(changed.id)

    async def _is_kept(self, edit: Outgoing, waiting: Outgoing) -> bool:
        """Tell whether a message must be sent as it is: an earlier call wants it so, or it may have arrived."""
        comes_after, referrals = COMES_AFTER[Kind.of(edit.method)], await self._handles.referrals([waiting.id])
        is_wanted = any(Kind.of(each.method) in {*comes_after, Kind.DELETE} for each in referrals)
        return is_wanted or await self._ledger.may_have_arrived(waiting)

    async def _cancel(self, deletion: Outgoing) -> Outgoing | Done:
        params = msgspec.json.decode(deletion.params)
        named = await self._handles.targets(deletion.bot_id, handles_in(params))
        targets = {each: target for each, target in named.items() if _is_same_chat(deletion.chat_id, target.chat_id)}
        gone = {target_id for target_id in _whole(targets) if await self._cancel_one(target_id, targets)}
        numbers = {number for number, target in targets.items() if target.message_id in gone}
        if not numbers:
            return deletion
        if MANY not in params or not (left := [each for each in params[MANY] if each not in numbers]):
            return Done()
        return replace(deletion, params=msgspec.json.encode(params | {MANY: left}))

    async def _cancel_one(self, target_id: str, targets: Targets) -> bool:
        """Cancel a message that waits; True if it will not be sent, then or before."""
        target = next(each for each in targets.values() if each.message_id == target_id)
        if not target.is_open:
            return target.status is Status.CANCELLED
        if await self._handles.referrals([target_id]) or await self._is_in_doubt(target_id):
            return False
        try:
            return await self._cancellations.cancel(target_id) is Cancellation.DONE
        except BrokerUnavailable:
            return False
        except LedgerError:
            return True  # it is not sent any more, and ends once the ledger can be written

    async def _is_in_doubt(self, target_id: str) -> bool:
        waiting = await self._ledger.open_among([target_id])
        return any([await self._ledger.may_have_arrived(each) for each in waiting])


def _whole(targets: Targets) -> list[str]:
    """Return the messages all of whose items are among the targets, in order."""
    given: dict[str, int] = defaultdict(int)
    for target in targets.values():
        given[target.message_id] += 1
    return sorted({each.message_id for each in targets.values() if given[each.message_id] == each.items})


def _check(message: Outgoing, params: Mapping[str, Any], number: int, target: Target) -> None:
    """Refuse a call whose target ended unsent, or is in another chat than it says.

    Raises:
        TargetLost: Why.
    """
    where = _where(message, params)
    if not _is_same_chat(where, target.chat_id):
        raise TargetLost(f"Bad Request: message {number} is in chat {target.chat_id}, and not in {where}")
    if (reason := why_lost(number, target)) is not None:
        raise TargetLost(reason)


def _where(message: Outgoing, params: Mapping[str, Any]) -> ChatId | None:
    """Return the chat in which a call says that its targets are."""
    quote = params.get(QUOTE)
    if Kind.of(message.method) is Kind.COPY:
        return params.get("from_chat_id")
    if isinstance(quote, dict) and quote.get("chat_id") is not None:
        return numbered(quote["chat_id"])
    return message.chat_id


def _is_same_chat(named: ChatId | None, chat_id: ChatId | None) -> bool:
    """Tell whether two names may be of one chat: a public name and a number may, and so may a group that moved."""
    if named is None or chat_id is None or isinstance(numbered(named), str) or isinstance(chat_id, str):
        return True
    number = numbered(named)
    if number in {0, chat_id}:
        return True
    return isinstance(number, int) and chat_id < BASIC_GROUP_ID_MIN <= number < 0


def _in_chat_of(message: Outgoing, params: dict[str, Any], target: Target) -> Outgoing:
    """Fill in the chat of a placeholder of a public chat, whose number was not known: it says 0."""
    if Kind.of(message.method) is Kind.COPY:
        if params.get("from_chat_id") == 0:
            params["from_chat_id"] = target.chat_id
            return replace(message, params=msgspec.json.encode(params))
        return message
    return replace(message, chat_id=target.chat_id) if message.chat_id == 0 else message


def _may_share_lane(message: Outgoing, targets: Sequence[Target], earlier: Sequence[Referral]) -> bool:
    """Tell whether the lane of the targets keeps the order: all that it goes after stands there, or has left it."""
    chat_ids = {*(each.chat_id for each in targets), *(each.chat_id for each in earlier)}
    if not message.cost or chat_ids - {message.chat_id}:
        return False
    if any(each.is_parked for each in targets) or any(each.is_parked for each in earlier):
        return False
    return len(_priorities(targets, earlier)) == 1


def _priorities(targets: Iterable[Target], earlier: Sequence[Referral]) -> set[Priority]:
    return {each.priority for each in targets if each.is_open} | {each.priority for each in earlier}


def _in_lane(message: Outgoing, targets: Iterable[Target], earlier: Sequence[Referral]) -> Outgoing:
    (priority,) = _priorities(targets, earlier)
    # An edit takes the position of the one that it replaces, which must not be before any other call of its message.
    is_alike = all(each.method == message.method for each in earlier)
    return replace(message, priority=priority, replaces=message.replaces if is_alike else None)
