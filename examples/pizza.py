"""An ordinary aiogram bot: states, an inline keyboard, a middleware. Nothing in it knows of Tempogram.

BOT_TOKENS=123456:ABC-DEF BEHAVIOURS=examples.pizza tempogram run    # sends through the queue
TOKEN=123456:ABC-DEF python -m examples.pizza                        # runs by itself, as any aiogram bot
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router
from aiogram.filters import Command, StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    ReplyKeyboardRemove,
    TelegramObject,
)

SIZES = {"small": 7, "large": 11}


class Order(StatesGroup):
    """What the bot wants to know next."""

    topping = State()
    size = State()


class Visits(BaseMiddleware):
    """Counts how often each person wrote, and tells the handlers."""

    def __init__(self) -> None:
        self.count: Counter[int] = Counter()

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        user = data["event_from_user"]
        self.count[user.id] += 1
        return await handler(event, data | {"visits": self.count[user.id]})


router = Router(name="pizza")
router.message.middleware(Visits())


@router.message(Command("pizza"))
async def begin(message: Message, state: FSMContext, visits: int) -> None:
    await state.set_state(Order.topping)
    greeting = "Welcome!" if visits == 1 else "Again!"
    await message.answer(f"{greeting} What shall be on it?", reply_markup=ReplyKeyboardRemove())


@router.message(Command("cancel"), StateFilter(Order))
async def cancel(message: Message, state: FSMContext) -> None:
    await state.clear()
    await message.answer("No pizza, then.")


@router.message(Order.topping, F.text)
async def choose_topping(message: Message, state: FSMContext) -> None:
    await state.update_data(topping=message.text)
    await state.set_state(Order.size)
    buttons = [InlineKeyboardButton(text=f"{size}, {price} €", callback_data=size) for size, price in SIZES.items()]
    await message.answer("Which size?", reply_markup=InlineKeyboardMarkup(inline_keyboard=[buttons]))


@router.callback_query(Order.size, F.data.in_(SIZES))
async def choose_size(query: CallbackQuery, state: FSMContext) -> None:
    order = await state.get_data()
    await state.clear()
    await query.answer("In the oven.")
    if isinstance(query.message, Message):
        await query.message.edit_text(f"One {query.data} pizza with {order['topping']}.")


async def main() -> None:
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    await dispatcher.start_polling(Bot(os.environ["TOKEN"]))


if __name__ == "__main__":
    asyncio.run(main())
