"""Anna gives twice, wants too much once, and takes one donation back."""

from tests.examples.talk import Talk


async def converse(talk: Talk) -> None:
    menu = await talk.asks("/start", "Anna, how much would you like to give?")
    await talk.presses(menu, "50 ⭐")
    await talk.pays(await talk.reads("[invoice] 50"))
    await talk.reads("Thank you for 50 stars! 🐾")
    await talk.presses(menu, "Another amount")
    await talk.reads("How many stars? Write a number.")
    await talk.asks("a lot", "Only digits, please.")
    too_much = await talk.asks("20000", "[invoice] 20000")
    assert (await talk.pays(too_much))["error_message"] == "10000 stars are the most we can take."
    await talk.presses(too_much, "No, thank you")
    await talk.misses("[invoice] 20000")
    menu = await talk.asks("/help", "Anna, how much would you like to give?")
    await talk.presses(menu, "100 ⭐")
    await talk.pays(await talk.reads("[invoice] 100"))
    await talk.reads("Thank you for 100 stars! 🐾")
    await talk.asks("/total", "You have given 150 stars in 2 donations.")
    await talk.asks("/refund", "100 stars are on their way back.")
    await talk.asks("/refund nothing", "There is nothing to give back.")
    await talk.asks("/total", "You have given 50 stars in 1 donations.")
