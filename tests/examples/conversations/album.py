"""Anna sends an album, a photo and a sticker."""

from tests.examples.talk import Talk


async def converse(talk: Talk) -> None:
    await talk.asks("/start", "Send me a photo, or an album.")
    await talk.sends("photo", times=4, caption="the sea")
    await talk.reads("[photo] 4 photos")
    await talk.reads("[document] What I saw")
    await talk.misses("▓▓▓▓ 4/4")
    await talk.sends("photo", caption="a boat")
    boat = await talk.reads("[photo] a boat (seen)")
    await talk.presses(boat, "Turn it")
    await talk.reads("[photo] Turned")
    await talk.reads("Like that?")
    await talk.sends("sticker")
    await talk.reads("[sticker]")
    await talk.sends("photo")
    await talk.reads("[photo] No words? (seen)")
    await talk.asks("/old", "That file is gone: TelegramBadRequest")
