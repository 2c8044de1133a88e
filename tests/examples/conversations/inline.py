"""Anna looks for tomatoes in any chat, and talks with the bot."""

import json
from typing import Any

from tests.examples.talk import Talk


async def converse(talk: Talk) -> None:
    await talk.asks("/start help", "Type @the_bot and an ingredient, in any chat.")
    await talk.asks("/start", "I know 4 recipes. How it works: https://t.me/the_bot?start=help")
    assert found(await talk.asks_inline("to")) == []
    first = await talk.asks_inline("tomato")
    assert (found(first), first["next_offset"]) == (["Tomato soup", "Greek salad"], "2")
    assert found(await talk.asks_inline("tomato", offset="2")) == ["Pasta al pomodoro"]
    await talk.chooses("salad", "tomato")
    await talk.edited("Greek salad: tomato, feta, olives\n(chosen by Anna)")
    await talk.asks("/top", "1. Greek salad (1)")
    cake = await talk.asks("/recipe apple", "Apple cake: apple, flour, butter")
    await talk.presses(cake, "👍")
    cake = await talk.reads("Apple cake: apple, flour, butter\n👍 Anna")
    assert (await talk.presses(cake, "👍"))["text"] == "You like it already"
    if talk.place is talk.group:
        await talk.presses(cake, "👍", by=talk.boris)
        await talk.reads("Apple cake: apple, flour, butter\n👍 Anna\n👍 Boris")
    await talk.asks("/recipe chocolate", "I know nothing like that.")


def found(answer: dict[str, Any]) -> list[str]:
    """Return the titles of an inline query's results, which a form spells as JSON."""
    results = answer["results"]
    return [result["title"] for result in (json.loads(results) if isinstance(results, str) else results)]
