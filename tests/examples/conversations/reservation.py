"""Anna reserves a table, changes her mind about the day, and has a wish."""

from tests.examples.talk import Talk


async def converse(talk: Talk) -> None:
    await talk.asks("/hours", "We are open from Friday to Sunday, 18 to 23 o'clock.")
    day = await talk.asks("/table", "When would you like to come?")
    await talk.presses(day, "Friday")
    await talk.reads("How many are you?")
    await talk.asks("a few", "Please write a number from 1 to 12.")
    if talk.place is talk.bot:  # where a dialog follows what its user writes
        for _ in ("the old one without its button", "the new one"):
            await talk.reads("How many are you?")
    extras = await talk.asks("4", "Anything special on Friday?")
    await talk.presses(extras, "a table by the window")
    extras = await talk.reads("Anything special on Friday?")
    await talk.presses(extras, "Next »")
    await talk.reads("In which name?")
    summary = await talk.asks("Almond", "Friday, 4 guests, Almond\nwith a table by the window")
    await talk.presses(summary, "Another day")
    day = await talk.reads("When would you like to come?")
    await talk.presses(day, "Sunday")
    await talk.reads("How many are you?")
    extras = await talk.asks("6", "Anything special on Sunday?")
    await talk.presses(extras, "Next »")
    await talk.reads("In which name?")
    summary = await talk.asks("Almond", "Sunday, 6 guests, Almond\nwith a table by the window")
    await talk.presses(summary, "Reserve")
    await talk.reads("Almond, your table for 6 is reserved.")
