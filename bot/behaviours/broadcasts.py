"""Starts broadcasts from the operators' chat: a reply to a post with ``/broadcast``, a preview, buttons.

It answers in the chat of ``ALERT_CHAT`` for the bot of ``ALERT_BOT``, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiogram import Bot, F, Router
from aiogram.filters import Command, CommandObject, Filter
from aiogram.methods import AnswerCallbackQuery, EditMessageText, SendMessage
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

from tempogram.api.core.ports import Refusal
from tempogram.bot.broadcasts.desk import EXAMPLE, Desk
from tempogram.bot.broadcasts.words import progress
from tempogram.engine.broadcasts.board import UnknownBroadcast
from tempogram.engine.model.broadcasts import FAILED, BroadcastState

NAME = "broadcasts"

PREFIX = "broadcast:"

BUTTONS = {
    BroadcastState.DRAFT: ("start", "cancel"),
    BroadcastState.RUNNING: ("look", "pause", "cancel"),
    BroadcastState.PAUSED: ("resume", "cancel"),
    BroadcastState.DONE: (),
    BroadcastState.CANCELLED: (),
}
"""What can be done with a broadcast, by its state."""

LABELS = {
    "start": "Start",
    "look": "Show",
    "pause": "Pause",
    "resume": "Resume",
    "cancel": "Cancel",
    "retry": "Retry those that failed",
}

HOW = f"Reply to the post that is to be sent: {EXAMPLE}"


class IsOperators(Filter):
    """Matches what comes from the operators' chat."""

    async def __call__(self, event: Message | CallbackQuery, bot: Bot, desk: Desk) -> bool:
        message = event.message if isinstance(event, CallbackQuery) else event
        return message is not None and desk.is_for(bot.id, message.chat)


def router() -> Router:
    made = Router(name=NAME)
    for observer in (made.message, made.channel_post):
        observer.register(ask, Command("broadcast"), IsOperators())
    made.callback_query.register(press, F.data.startswith(PREFIX), IsOperators())
    return made


async def ask(message: Message, command: CommandObject, desk: Desk) -> SendMessage:
    """Make a draft of the post that is replied to, and say what it would do."""
    post = message.reply_to_message
    if post is None:
        return message.reply(HOW, parse_mode=None)
    try:
        broadcast_id, text = await desk.draft(
            command.args or "", from_chat_id=message.chat.id, message_id=post.message_id
        )
    except Refusal as refusal:
        return message.reply(f"{refusal}", parse_mode=None)
    return message.reply(text, parse_mode=None, reply_markup=keyboard(broadcast_id, BUTTONS[BroadcastState.DRAFT]))


async def press(query: CallbackQuery, desk: Desk) -> EditMessageText | AnswerCallbackQuery:
    """Do what a button says, and show how far the broadcast is."""
    what, _, number = (query.data or "").removeprefix(PREFIX).partition(":")
    try:
        shown = await desk.do(what, int(number))
    except (Refusal, UnknownBroadcast, ValueError) as refusal:
        return query.answer(str(refusal)[:200])
    await query.answer()
    can_retry = shown.state is BroadcastState.DONE and any(shown.outcomes[each] for each in FAILED)
    buttons = ("retry",) if can_retry else BUTTONS[shown.state]
    message = query.message
    if not isinstance(message, Message):  # too old to be changed
        return query.answer(progress(shown)[:200])
    return message.edit_text(progress(shown), parse_mode=None, reply_markup=keyboard(shown.id, buttons))


def check(config: Mapping[str, Any]) -> None:
    if config:
        raise Refusal(f"{NAME} has no settings; ALERT_BOT and ALERT_CHAT say in which chat it answers")


def keyboard(broadcast_id: int, actions: Sequence[str]) -> InlineKeyboardMarkup:
    data = {action: f"{PREFIX}{action}:{broadcast_id}" for action in actions}
    row = [InlineKeyboardButton(text=LABELS[action], callback_data=each) for action, each in data.items()]
    return InlineKeyboardMarkup(inline_keyboard=[row] if row else [])
