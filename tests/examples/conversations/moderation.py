"""Boris joins Anna's group and does not behave."""

from tests.examples.talk import Talk


async def converse(talk: Talk) -> None:
    talk.boris.joins(talk.group)
    welcome = await talk.reads("Welcome, Boris! Press the button to write here.")
    assert (await talk.presses(welcome, "I am human", by=talk.carla))["text"] == "This button is not for you."
    await talk.presses(welcome, "I am human", by=talk.boris)
    await talk.reads("Boris is one of us now.")
    await talk.says("come to my casino", by=talk.boris)
    await talk.reads("Boris, not here!")
    await talk.reads("Boris, this is warning 1 of 3.")
    await talk.misses("Boris, not here!")
    rude = await talk.says("you are all boring", by=talk.boris)
    await talk.says("/warn", by=talk.carla, reply_to=rude)
    await talk.reads("Only administrators may do that, as a reply to a message.")
    await talk.says("/warn", reply_to=rude)
    await talk.reads("Boris, this is warning 2 of 3.")
    await talk.says("/report", by=talk.carla, reply_to=rude)
    await talk.reads("Reported to Anna.")
    await talk.says("/mute 10", reply_to=rude)
    await talk.reads("Anna has silenced Boris for 10 min.")
    await talk.says("/del", reply_to=rude)
    await talk.misses("you are all boring")
    await talk.says("/del", reply_to=rude)
    await talk.reads("It cannot be deleted: Bad Request: message to delete not found")
    await talk.asks("/pin", "Reply to the message that you mean.")
    await talk.says("free viagra", by=talk.boris)
    await talk.reads("Boris, not here!")
    await talk.reads("Boris has been warned 3 times and is silent for an hour.")
    await talk.misses("Boris, not here!")
