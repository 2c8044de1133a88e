"""A form of two questions. Its first run of the second one takes so long that the process is killed in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiogram import Router
from aiogram.filters import CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import Message

IS_ASKING = "is-asking"
"""A file in the working directory."""

router = Router(name=__name__)


def is_first_run() -> bool:
    is_first = not Path(IS_ASKING).exists()
    Path(IS_ASKING).touch()
    return is_first


class Form(StatesGroup):
    name = State()
    age = State()


@router.message(CommandStart())
async def ask_name(message: Message, state: FSMContext) -> None:
    await state.set_state(Form.name)
    await message.answer("What is your name?")


@router.message(Form.name)
async def ask_age(message: Message, state: FSMContext) -> None:
    await state.update_data(name=message.text)
    await state.set_state(Form.age)
    if is_first_run():
        await asyncio.sleep(3_600)
    await message.answer("How old are you?")


@router.message(Form.age)
async def greet(message: Message, state: FSMContext) -> None:
    answers = await state.get_data()
    await state.clear()
    await message.answer(f"{answers['name']} is {message.text}.")
