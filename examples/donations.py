"""Donations in Telegram's stars, with class-based handlers: an invoice, the check before a payment, a refund.

BOT_TOKEN=123456:ABC-DEF python -m examples.donations
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from aiogram import Bot, Dispatcher, F, Router
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command, CommandObject, StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.handlers import CallbackQueryHandler, MessageHandler, PreCheckoutQueryHandler
from aiogram.types import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LabeledPrice,
    Message,
    ReplyParameters,
    SuccessfulPayment,
)

STARS = "XTR"
AMOUNTS = (50, 100, 500)
MOST = 10_000

router = Router(name="donations")


class Donation(StatesGroup):
    """Waits for an amount of the user's own."""

    amount = State()


def pay_keyboard(amount: int) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[
            [InlineKeyboardButton(text=f"Pay {amount} ⭐", pay=True)],
            [InlineKeyboardButton(text="No, thank you", callback_data="forget")],
        ]
    )


def invoice(amount: int) -> dict[str, Any]:
    return {
        "title": "Donation",
        "description": f"{amount} stars for the animals' home",
        "payload": f"donation:{amount}",
        "currency": STARS,
        "prices": [LabeledPrice(label="Donation", amount=amount)],
        "reply_markup": pay_keyboard(amount),
    }


@router.message(Command("start", "help"))
class Greeting(MessageHandler):
    async def handle(self) -> None:
        name = self.from_user.first_name if self.from_user else "friend"
        row = [InlineKeyboardButton(text=f"{amount} ⭐", callback_data=f"give:{amount}") for amount in AMOUNTS]
        own = [InlineKeyboardButton(text="Another amount", callback_data="own")]
        await self.event.answer(
            f"{name}, how much would you like to give?",
            reply_markup=InlineKeyboardMarkup(inline_keyboard=[row, own]),
        )


@router.callback_query(F.data.startswith("give:"))
class Give(CallbackQueryHandler):
    async def handle(self) -> None:
        amount = int(str(self.callback_data).removeprefix("give:"))
        await self.event.answer("One moment")
        if isinstance(self.message, Message):
            await self.message.answer_invoice(**invoice(amount))


@router.callback_query(F.data == "own")
async def ask_amount(query: CallbackQuery, state: FSMContext) -> None:
    await query.answer()
    if isinstance(query.message, Message):
        await query.message.edit_text("How many stars? Write a number.")
    await state.set_state(Donation.amount)


@router.message(StateFilter(Donation.amount), F.text.isdecimal(), F.text.cast(int).as_("amount"))
async def take_amount(message: Message, state: FSMContext, bot: Bot, amount: int) -> None:
    await bot.send_invoice(
        message.chat.id, **invoice(amount), reply_parameters=ReplyParameters(message_id=message.message_id)
    )
    await state.set_state(None)


@router.message(StateFilter(Donation.amount))
async def no_amount(message: Message) -> None:
    await message.reply("Only digits, please.")


@router.callback_query(F.data == "forget")
class Forget(CallbackQueryHandler):
    async def handle(self) -> None:
        if isinstance(self.message, Message):
            await self.message.delete()
        await self.event.answer("Maybe another time")


@router.pre_checkout_query()
class Check(PreCheckoutQueryHandler):
    """Telegram gives ten seconds to say whether the payment may go on."""

    async def handle(self) -> None:
        if self.event.total_amount > MOST:
            await self.event.answer(ok=False, error_message=f"{MOST} stars are the most we can take.")
        else:
            await self.event.answer(ok=self.event.invoice_payload.startswith("donation:"))


@router.message(F.successful_payment.as_("payment"))
async def thank(message: Message, payment: SuccessfulPayment, state: FSMContext) -> None:
    await message.answer(f"Thank you for {payment.total_amount} stars! 🐾")
    paid: dict[str, int] = (await state.get_data()).get("paid", {})
    paid[payment.telegram_payment_charge_id] = payment.total_amount
    await state.update_data(paid=paid)


@router.message(Command("total"))
async def total(message: Message, state: FSMContext) -> None:
    paid = (await state.get_data()).get("paid", {})
    await message.answer(f"You have given {sum(paid.values())} stars in {len(paid)} donations.")


@router.message(Command("refund"))
async def refund(message: Message, command: CommandObject, state: FSMContext, bot: Bot) -> None:
    paid = (await state.get_data()).get("paid", {})
    charge_id = command.args or next(reversed(paid), "")
    if charge_id not in paid or message.from_user is None:
        await message.answer("There is nothing to give back.")
        return
    try:
        await bot.refund_star_payment(message.from_user.id, charge_id)
    except TelegramAPIError as error:
        await message.answer(f"That did not work: {error}")
        return
    await message.answer(f"{paid[charge_id]} stars are on their way back.")
    await state.update_data(paid={key: value for key, value in paid.items() if key != charge_id})


async def main() -> None:
    bot = Bot(os.environ["BOT_TOKEN"])
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    try:
        await dispatcher.start_polling(bot)
    finally:
        await bot.session.close()


if __name__ == "__main__":
    asyncio.run(main())
