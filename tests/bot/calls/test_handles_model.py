"""Random programs that use handles in a full group, against a group that is never full."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiogram.exceptions import TelegramAPIError
from aiogram.methods import (
    CopyMessage,
    DeleteMessage,
    EditMessageCaption,
    EditMessageReplyMarkup,
    EditMessageText,
    ForwardMessage,
    PinChatMessage,
    SendMessage,
    SendPhoto,
    SetMessageReaction,
    UnpinChatMessage,
)
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, ReactionTypeEmoji, ReplyParameters
from hypothesis import currently_in_test_context, given, note, settings
from hypothesis import strategies as st

from tempogram.bot.calls.handles import HandleReferences
from tempogram.bot.telegram.composer import prepare
from tempogram.bot.telegram.method_classes import AnyMethod
from tempogram.engine.model.messages import PARKED_MS, Lease
from tests.bot.chats import Chats, Shown
from tests.bot.full_group import GROUP, FullGroup, full_group
from tests.engine.desk import turns

OTHER = -1006
MADE_MAX = 5
"""Messages that calls refer to: few, so that many calls meet at one."""

TARGETS = st.integers(0, MADE_MAX - 1)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["text", "photo", "lease", "finish", "restart"])),
    st.tuples(st.sampled_from(["reply", "reply or not"]), TARGETS),
    st.tuples(st.sampled_from(["edit text", "edit caption", "edit keyboard", "delete"]), TARGETS),
    st.tuples(st.sampled_from(["copy", "copy here", "forward", "pin", "unpin", "react"]), TARGETS),
    st.tuples(st.just("pass"), st.sampled_from([100, 30_000, 60_000, 150_000])),
)

Made = tuple[int, int]
"""A chat, and the number of a message in it."""


def keyboard(text: str) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text=text, callback_data=text)]])


def call(step: str, label: str, target: Made | None) -> AnyMethod | None:
    """Return a step's call; None if there is nothing that it could refer to."""
    match step:
        case "text":
            return SendMessage(chat_id=GROUP, text=label, message_effect_id=label)
        case "photo":
            return SendPhoto(chat_id=GROUP, photo="p", caption=label, message_effect_id=label)
    if target is None:
        return None
    chat_id, number = target
    where: dict[str, Any] = {"chat_id": chat_id, "message_id": number}
    source: dict[str, Any] = {"from_chat_id": chat_id, "message_id": number, "message_effect_id": label}
    match step:
        case "reply" | "reply or not":
            quote = ReplyParameters(message_id=number, allow_sending_without_reply=step == "reply or not")
            return SendMessage(chat_id=chat_id, text=label, message_effect_id=label, reply_parameters=quote)
        case "edit text":
            return EditMessageText(**where, text=label)
        case "edit caption":
            return EditMessageCaption(**where, caption=label, reply_markup=keyboard(label))
        case "edit keyboard":
            return EditMessageReplyMarkup(**where, reply_markup=keyboard(label))
        case "delete":
            return DeleteMessage(**where)
        case "copy":
            return CopyMessage(chat_id=OTHER, **source)
        case "copy here":
            return CopyMessage(chat_id=GROUP, **source)
        case "forward":
            return ForwardMessage(chat_id=OTHER, **source)
        case "pin":
            return PinChatMessage(**where)
        case "unpin":
            return UnpinChatMessage(**where)
        case _:
            return SetMessageReaction(**where, reaction=[ReactionTypeEmoji(emoji="👍")])


@dataclass
class NeverFull:
    """The model: each call is made at once."""

    chats: Chats = field(default_factory=Chats)
    made: list[Made] = field(default_factory=list)

    def do(self, group: FullGroup, method: AnyMethod) -> bool:
        """Make a call; True if it made a message."""
        params = prepare(group.bot, method).params
        chat_id = params.pop("chat_id")
        try:
            result = self.chats.call(method.__api_method__, chat_id, params)
        except ValueError:
            return False
        if is_new := method.__api_method__.startswith(("send", "copy", "forward")):
            self.made.append((chat_id, result["message_id"]))
        return is_new


@dataclass
class Full:
    """The engine: what is sent is known by its handle, also once it is sent."""

    group: FullGroup
    made: list[Made] = field(default_factory=list)
    calls: list[asyncio.Future[Any]] = field(default_factory=list)
    lease: Lease | None = None
    parked: set[str] = field(default_factory=set)

    async def do(self, method: AnyMethod, *, is_new: bool) -> None:
        ledger = self.group.desk.ledger
        before = set(ledger.messages)
        self.calls.append(asyncio.ensure_future(self.group.bot(method)))
        await turns()
        for message_id in ledger.messages.keys() - before:
            message = ledger.messages[message_id]
            if message.ready_at_ms == PARKED_MS:
                self.parked.add(getattr(method, "message_effect_id", None) or "")
            if is_new:
                (number,) = await self.group.handles.hand_out(message.bot_id, message_id, 1)
                self.made.append((getattr(method, "chat_id", 0), number))

    async def pass_time(self, ms: int) -> None:
        self.group.desk.clock.advance(ms)
        await self.work()

    async def work(self) -> None:
        await self.group.work()
        await turns()

    async def take_lease(self) -> None:
        if self.lease is None and (leases := await self.group.desk.leases(1)):
            (self.lease,) = leases

    async def finish_lease(self) -> None:
        if self.lease is not None:
            lease, self.lease = self.lease, None
            await self.group.desk.send(lease)
            await self.work()

    async def restart(self) -> None:
        self.lease = None
        await self.group.desk.restart()

    async def end(self) -> None:
        """Let time pass until nothing waits, and see that no call was refused otherwise than by Telegram."""
        await self.finish_lease()
        for _ in range(2_000):
            await self.pass_time(10_000)
            if not await self.group.desk.ledger.open_ids(after_id="", limit=1):
                break
        assert await self.group.desk.ledger.open_ids(after_id="", limit=1) == []
        results = await asyncio.wait_for(asyncio.gather(*self.calls, return_exceptions=True), 5)
        assert [
            each for each in results if isinstance(each, Exception) and not isinstance(each, TelegramAPIError)
        ] == []


def by_label(shown: list[Shown]) -> list[Shown]:
    return sorted(shown, key=lambda each: each.label or "")


async def run(steps: list[tuple[Any, ...]]) -> None:
    if currently_in_test_context():
        note(f"program: {steps}")
    async with full_group(wait_s=0) as group:
        model, full = NeverFull(), Full(group)
        model.chats.call("sendMessage", GROUP, {"text": "the last place"})
        for index, (step, *arguments) in enumerate(steps):
            match step:
                case "pass":
                    await full.pass_time(arguments[0])
                case "lease":
                    await full.take_lease()
                case "finish":
                    await full.finish_lease()
                case "restart":
                    await full.restart()
                case _:
                    assert len(model.made) == len(full.made), (index, model.made, full.made)
                    which = arguments[0] % len(model.made) if arguments and model.made else None
                    targets = [None if which is None else made[which] for made in (model.made, full.made)]
                    methods = [call(step, f"{index:03}", target) for target in targets]
                    if methods[0] is not None and methods[1] is not None:
                        await full.do(methods[1], is_new=model.do(group, methods[0]))
        await full.end()
        for chat_id in (GROUP, OTHER):
            expected, shown = model.chats.shown(chat_id), group.chats.shown(chat_id)
            assert by_label(shown) == by_label(expected)
            orders = [[each.label for each in some if each.label not in full.parked] for some in (expected, shown)]
            assert chat_id == OTHER or orders[0] == orders[1]


@given(steps=st.lists(STEPS, min_size=3, max_size=25))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_chat_ends_as_one_that_was_never_full(steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(run(steps))


def test_the_model_notices_an_edit_that_an_earlier_copy_has_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_kept(*_: Any) -> bool:
        return False

    monkeypatch.setattr(HandleReferences, "_is_kept", is_kept)

    with pytest.raises(AssertionError):
        asyncio.run(run([("text",), ("copy", 0), ("edit text", 0)]))


def test_a_reply_that_waits_for_its_place_is_sent_before_its_target_is_deleted() -> None:
    asyncio.run(run([("text",), ("pass", 60_000), ("text",), ("reply", 0), ("delete", 0)]))
