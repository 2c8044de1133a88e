"""A shop: a catalogue to leaf through, a cart, and an order in four questions (FSM).

BOT_TOKEN=123456:ABC-DEF STAFF_CHAT=-1001 python -m examples.shop
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from aiogram import Bot, Dispatcher, F, Router
from aiogram.filters import Command, CommandStart, StateFilter, or_f
from aiogram.filters.callback_data import CallbackData
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, KeyboardButton, Message, ReplyKeyboardMarkup
from aiogram.utils.keyboard import InlineKeyboardBuilder

PRICES = {"tea": 4, "coffee": 7, "cocoa": 5}
MENU = ReplyKeyboardMarkup(
    keyboard=[[KeyboardButton(text="🛍 Catalogue"), KeyboardButton(text="🛒 Cart")]], resize_keyboard=True
)

router = Router(name="shop")


class Show(CallbackData, prefix="show"):
    sku: str


class Put(CallbackData, prefix="put"):
    sku: str
    amount: int


class Checkout(StatesGroup):
    name = State()
    phone = State()
    address = State()
    confirm = State()


def catalogue() -> InlineKeyboardMarkup:
    builder = InlineKeyboardBuilder()
    for sku, price in PRICES.items():
        builder.button(text=f"{sku.title()}, {price} €", callback_data=Show(sku=sku))
    builder.adjust(2)
    return InlineKeyboardMarkup(inline_keyboard=builder.export())


def product_card(sku: str) -> InlineKeyboardMarkup:
    builder = InlineKeyboardBuilder()
    for amount in (1, 2):
        builder.button(text=f"+{amount}", callback_data=Put(sku=sku, amount=amount))
    builder.button(text="« Back", callback_data="catalogue")
    builder.adjust(2, 1)
    return InlineKeyboardMarkup(inline_keyboard=builder.export())


def bill(cart: dict[str, int]) -> str:
    lines = [f"{amount} x {sku.title()}: {amount * PRICES[sku]} €" for sku, amount in cart.items()]
    total = sum(amount * PRICES[sku] for sku, amount in cart.items())
    return "\n".join([*lines, f"Total: {total} €"])


@router.message(CommandStart())
async def start(message: Message) -> None:
    name = message.from_user.first_name if message.from_user else "stranger"
    await message.answer(f"Welcome to the shop, {name}!", reply_markup=MENU)


@router.message(Command("cancel"), StateFilter(Checkout))
async def cancel(message: Message, state: FSMContext) -> None:
    await message.answer("The order is cancelled, the cart stays.", reply_markup=MENU)
    await state.set_state(None)


@router.message(or_f(Command("catalogue"), F.text == "🛍 Catalogue"))
async def show_catalogue(message: Message) -> None:
    await message.answer("What would you like?", reply_markup=catalogue())


@router.callback_query(F.data == "catalogue")
async def back_to_catalogue(query: CallbackQuery) -> None:
    if isinstance(query.message, Message):
        await query.message.edit_text("What would you like?", reply_markup=catalogue())
    await query.answer()


@router.callback_query(Show.filter())
async def show_product(query: CallbackQuery, callback_data: Show) -> None:
    sku = callback_data.sku
    if isinstance(query.message, Message):
        await query.message.edit_text(f"{sku.title()} costs {PRICES[sku]} €.", reply_markup=product_card(sku))
    await query.answer()


@router.callback_query(Put.filter(F.amount > 0))
async def put_into_cart(query: CallbackQuery, callback_data: Put, state: FSMContext) -> None:
    cart: dict[str, int] = (await state.get_data()).get("cart", {})
    cart[callback_data.sku] = cart.get(callback_data.sku, 0) + callback_data.amount
    await state.update_data(cart=cart)
    await query.answer(f"{cart[callback_data.sku]} in the cart")


@router.message(or_f(Command("cart"), F.text == "🛒 Cart"))
async def show_cart(message: Message, state: FSMContext) -> None:
    cart = (await state.get_data()).get("cart")
    if not cart:
        await message.reply("Your cart is empty.")
        return
    builder = InlineKeyboardBuilder()
    builder.button(text="Order", callback_data="order").button(text="Empty it", callback_data="empty")
    await message.answer(bill(cart), reply_markup=builder.as_markup())


@router.callback_query(F.data == "empty")
async def empty_cart(query: CallbackQuery, state: FSMContext) -> None:
    if isinstance(query.message, Message):
        await query.message.delete()
    await query.answer("It is empty now", show_alert=True)
    await state.clear()


@router.callback_query(F.data == "order", StateFilter(None))
async def begin_order(query: CallbackQuery, state: FSMContext) -> None:
    await state.set_state(Checkout.name)
    await query.answer()
    if isinstance(query.message, Message):
        await query.message.edit_reply_markup(reply_markup=None)
        await query.message.answer("For whom is it?")


@router.message(Checkout.name, F.text.len() >= 2)
async def take_name(message: Message, state: FSMContext) -> None:
    await state.update_data(name=message.text)
    await state.set_state(Checkout.phone)
    await message.answer("At which number do we reach you?")


@router.message(Checkout.phone, F.text.regexp(r"^\+?\d{6,15}$"))
async def take_phone(message: Message, state: FSMContext) -> None:
    await state.update_data(phone=message.text)
    await state.set_state(Checkout.address)
    await message.answer("And where shall it go?")


@router.message(Checkout.phone)
async def refuse_phone(message: Message) -> None:
    await message.reply("That is no phone number. Please write digits only, such as +491701234567.")


@router.message(Checkout.address, F.text)
async def take_address(message: Message, state: FSMContext) -> None:
    data = await state.update_data(address=message.text)
    await state.set_state(Checkout.confirm)
    builder = InlineKeyboardBuilder()
    builder.button(text="✅ Yes", callback_data="confirm").button(text="❌ No", callback_data="refuse")
    await message.answer(
        f"{bill(data['cart'])}\nfor {data['name']}, {data['address']}?", reply_markup=builder.as_markup()
    )


@router.callback_query(Checkout.confirm, F.data.in_({"confirm", "refuse"}))
async def finish(query: CallbackQuery, state: FSMContext, bot: Bot) -> None:
    data: dict[str, Any] = await state.get_data()
    is_confirmed = query.data == "confirm"
    if isinstance(query.message, Message):
        await query.message.edit_text("Thank you, it is on its way!" if is_confirmed else "Another time, then.")
    if is_confirmed:
        await bot.send_message(
            os.environ["STAFF_CHAT"], f"New order of {data['name']} ({data['phone']})\n{bill(data['cart'])}"
        )
    await query.answer()
    await state.clear()


async def main() -> None:
    bot = Bot(os.environ["BOT_TOKEN"])
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    await bot.delete_webhook(drop_pending_updates=False)
    await dispatcher.start_polling(bot)


if __name__ == "__main__":
    asyncio.run(main())
