"""Anna plays a quiz in two languages."""

from tests.examples.talk import Talk


async def converse(talk: Talk) -> None:
    await talk.asks("/start", "Hello, <b>Anna</b>!")
    first = await talk.asks("/quiz", "How much is 2 + 3?")
    assert (await talk.presses(first, "5"))["text"] == "1 point so far"
    await talk.reads("2 + 3 = 5: Right!")
    choice = await talk.asks("/language", "Choose a language:")
    await talk.presses(choice, "Deutsch")
    await talk.reads("Wir sprechen jetzt Deutsch.")
    second = await talk.asks("/quiz", "Wie viel ist 17 + 25?")
    assert (await talk.presses(second, "41"))["text"] == "bisher 1 Punkt"
    await talk.reads("17 + 25 = 41: Nein, 42.")
    third = await talk.asks("/quiz", "Wie viel ist 9 + 8?")
    assert (await talk.presses(third, "17"))["text"] == "bisher 2 Punkte"
    await talk.reads("9 + 8 = 17: Richtig!")
    choice = await talk.asks("/language", "Wähle eine Sprache:")
    assert choice["reply_markup"]["inline_keyboard"][1][0]["text"] == "• Deutsch"
