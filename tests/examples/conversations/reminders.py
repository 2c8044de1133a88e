"""Anna is reminded of one thing, and forgets another."""

from tests.examples.talk import Talk


async def converse(talk: Talk) -> None:
    await talk.asks("/list", "Nothing is due.")
    await talk.asks("/remind tea", "Write it like this: /remind 10m tea")
    await talk.asks("/remind 1s tea", "I will remind you of tea.")
    tea = await talk.reads("⏰ tea")
    assert (await talk.presses(tea, "Thanks"))["text"] == "You are welcome"
    cake = await talk.asks("/remind 2h the cake", "I will remind you of the cake.")
    await talk.asks("/remind 1d a walk", "I will remind you of a walk.")
    await talk.asks("/list", "• the cake\n• a walk")
    await talk.presses(cake, "Forget it")
    await talk.reads("Forgotten.")
    await talk.asks("/list", "• a walk")
