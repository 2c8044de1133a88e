"""Takes photos and albums, looks at each, and gives them back: an album middleware, downloads, a progress bar.

BOT_TOKEN=123456:ABC-DEF python -m examples.album
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router
from aiogram.exceptions import TelegramAPIError, TelegramBadRequest
from aiogram.filters import Command
from aiogram.types import (
    BufferedInputFile,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    Message,
    PhotoSize,
    TelegramObject,
)
from aiogram.utils.media_group import MediaGroupBuilder

LOOK_S = 0.05


class AlbumMiddleware(BaseMiddleware):
    """Collects the messages of an album, which arrive one by one, and hands them to the handler together."""

    def __init__(self, latency_s: float = 0.3) -> None:
        self.latency_s = latency_s
        self.albums: dict[str, list[Message]] = {}

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        if not isinstance(event, Message) or event.media_group_id is None:
            return await handler(event, data)
        if event.media_group_id in self.albums:
            self.albums[event.media_group_id].append(event)
            return None
        self.albums[event.media_group_id] = [event]
        await asyncio.sleep(self.latency_s)
        data["album"] = sorted(self.albums.pop(event.media_group_id), key=lambda message: message.message_id)
        return await handler(event, data)


def largest(message: Message) -> PhotoSize:
    assert message.photo
    return max(message.photo, key=lambda size: size.width * size.height)


def bar(done: int, of: int) -> str:
    return f"{'▓' * done}{'░' * (of - done)} {done}/{of}"


async def look_at(photo: PhotoSize, bot: Bot) -> int:
    """Download a photo, and return its size."""
    content = await bot.download(photo, destination=BytesIO())
    await asyncio.sleep(LOOK_S)
    return len(content.read()) if content else 0


async def start(message: Message) -> None:
    await message.answer("Send me a photo, or an album.")


async def take_album(message: Message, bot: Bot, album: list[Message]) -> None:
    progress = await message.reply(bar(0, len(album)))
    sizes = []
    for number, each in enumerate(album, 1):
        sizes.append(await look_at(largest(each), bot))
        with suppress(TelegramBadRequest):
            await progress.edit_text(bar(number, len(album)))
    builder = MediaGroupBuilder(caption=f"{len(album)} photos")
    for each in album:
        builder.add_photo(media=largest(each).file_id)
    await message.answer_media_group(builder.build())  # type: ignore[arg-type]
    await progress.delete()
    listing = "\n".join(f"photo {number}: {size > 0}" for number, size in enumerate(sizes, 1))
    await message.answer_document(
        BufferedInputFile(listing.encode(), filename="sizes.txt"),
        caption="What I saw",
        disable_content_type_detection=True,
    )


async def take_photo(message: Message, bot: Bot) -> None:
    photo = largest(message)
    await bot.send_chat_action(message.chat.id, "upload_photo")
    button = InlineKeyboardButton(text="Turn it", callback_data="turn")
    sent = await message.answer_photo(
        photo.file_id,
        caption=message.caption or "No words?",
        reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]]),
    )
    await look_at(photo, bot)
    await sent.edit_caption(caption=f"{sent.caption} (seen)", reply_markup=sent.reply_markup)


async def turn(query: CallbackQuery, bot: Bot) -> None:
    if not isinstance(query.message, Message):
        await query.answer("It is too old.")
        return
    turned = BufferedInputFile(b"a photo that was turned", filename="turned.jpg")
    await query.message.edit_media(InputMediaPhoto(media=turned, caption="Turned"))
    await query.answer()
    await bot.send_message(query.message.chat.id, "Like that?", reply_to_message_id=query.message.message_id)


async def sticker(message: Message) -> None:
    assert message.sticker is not None
    await message.answer_sticker(message.sticker.file_id)


async def failed(message: Message, bot: Bot) -> None:
    try:
        await bot.send_photo(message.chat.id, "sim-00000000000000000000000000000000")
    except TelegramAPIError as error:
        await message.reply(f"That file is gone: {type(error).__name__}")


router = Router(name="album")
router.message.middleware(AlbumMiddleware())
router.message.register(start, Command("start"))
router.message.register(take_album, F.photo, F.media_group_id)
router.message.register(take_photo, F.photo)
router.message.register(sticker, F.sticker)
router.message.register(failed, Command("old"))
router.callback_query.register(turn, F.data == "turn")


async def main() -> None:
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    await dispatcher.start_polling(Bot(os.environ["BOT_TOKEN"]))


if __name__ == "__main__":
    asyncio.run(main())
