"""A restaurant's tables, asked for in the windows of an aiogram-dialog.

BOT_TOKEN=123456:ABC-DEF python -m examples.reservation
"""

from __future__ import annotations

import asyncio
import operator
import os
from typing import Any

from aiogram import Bot, Dispatcher, F, Router
from aiogram.filters import Command
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import CallbackQuery, Message
from aiogram_dialog import Dialog, DialogManager, ShowMode, StartMode, Window, setup_dialogs
from aiogram_dialog.widgets.input import ManagedTextInput, TextInput
from aiogram_dialog.widgets.kbd import (
    Back,
    Button,
    Cancel,
    Column,
    Multiselect,
    Next,
    Row,
    Select,
    SwitchTo,
)
from aiogram_dialog.widgets.text import Const, Format, Jinja, Multi

DAYS = [("Friday", "fri"), ("Saturday", "sat"), ("Sunday", "sun")]
EXTRAS = [("a high chair", "chair"), ("a table by the window", "window"), ("a cake", "cake")]
GUESTS_MAX = 12

router = Router(name="reservation")


class Table(StatesGroup):
    day = State()
    guests = State()
    extras = State()
    name = State()
    summary = State()


def name_of(pairs: list[tuple[str, str]], key: str) -> str:
    return next(name for name, pair_key in pairs if pair_key == key)


def number_of_guests(text: str) -> int:
    number = int(text)
    if not 1 <= number <= GUESTS_MAX:
        raise ValueError
    return number


async def days(**_: Any) -> dict[str, Any]:
    return {"days": DAYS}


async def extras(dialog_manager: DialogManager, **_: Any) -> dict[str, Any]:
    return {"extras": EXTRAS, "day": name_of(DAYS, dialog_manager.dialog_data["day"])}


async def summary(dialog_manager: DialogManager, **_: Any) -> dict[str, Any]:
    chosen = dialog_manager.find("extras").get_checked()  # type: ignore[union-attr]
    return {
        "day": name_of(DAYS, dialog_manager.dialog_data["day"]),
        "guests": dialog_manager.find("guests").get_value(),  # type: ignore[union-attr]
        "name": dialog_manager.find("name").get_value(),  # type: ignore[union-attr]
        "extras": [name_of(EXTRAS, key) for key in chosen],
    }


async def on_day(query: CallbackQuery, _: Any, manager: DialogManager, day: str) -> None:
    manager.dialog_data["day"] = day
    await query.answer(f"{name_of(DAYS, day)} it is")
    await manager.next()


async def on_bad_number(message: Message, _: Any, __: DialogManager, ___: ValueError) -> None:
    await message.answer(f"Please write a number from 1 to {GUESTS_MAX}.")


async def on_name(_: Message, __: ManagedTextInput[str], manager: DialogManager, ___: str) -> None:
    manager.show_mode = ShowMode.SEND
    await manager.next()


async def on_confirm(query: CallbackQuery, _: Button, manager: DialogManager) -> None:
    booked = await summary(manager)
    await query.answer("Done")
    if isinstance(query.message, Message):
        await query.message.answer(f"{booked['name']}, your table for {booked['guests']} is reserved.")
    manager.show_mode = ShowMode.DELETE_AND_SEND
    await manager.done(booked)


dialog = Dialog(
    Window(
        Const("When would you like to come?"),
        Column(
            Select(Format("{item[0]}"), id="day", item_id_getter=operator.itemgetter(1), items="days", on_click=on_day)
        ),
        Cancel(Const("Never mind")),
        state=Table.day,
        getter=days,
    ),
    Window(
        Const("How many are you?"),
        TextInput(id="guests", type_factory=number_of_guests, on_success=Next(), on_error=on_bad_number),
        Back(Const("« Day")),
        state=Table.guests,
    ),
    Window(
        Format("Anything special on {day}?"),
        Column(
            Multiselect(
                Format("✓ {item[0]}"),
                Format("{item[0]}"),
                id="extras",
                item_id_getter=operator.itemgetter(1),
                items="extras",
            )
        ),
        Row(Back(Const("« Guests")), Next(Const("Next »"))),
        state=Table.extras,
        getter=extras,
    ),
    Window(Const("In which name?"), TextInput(id="name", on_success=on_name), state=Table.name),
    Window(
        Multi(
            Format("{day}, {guests} guests, {name}"),
            Jinja("with {{ extras | join(', ') }}", when=F["extras"]),
        ),
        Button(Const("Reserve"), id="confirm", on_click=on_confirm),
        SwitchTo(Const("Another day"), id="again", state=Table.day),
        Cancel(),
        state=Table.summary,
        getter=summary,
    ),
)
router.include_router(dialog)


@router.message(Command("table"))
async def begin(_: Message, dialog_manager: DialogManager) -> None:
    await dialog_manager.start(Table.day, mode=StartMode.RESET_STACK)


@router.message(Command("hours"))
async def hours(message: Message) -> None:
    await message.answer("We are open from Friday to Sunday, 18 to 23 o'clock.")


def setup(dispatcher: Dispatcher) -> None:
    setup_dialogs(dispatcher)


async def main() -> None:
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    setup(dispatcher)
    await dispatcher.start_polling(Bot(os.environ["BOT_TOKEN"]))


if __name__ == "__main__":
    asyncio.run(main())
