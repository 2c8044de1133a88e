"""Anna sends news to five; one of them has blocked the bot."""

from tests.examples.talk import ANNA_ID, Talk

ENVIRONMENT = {"EDITORS": str(ANNA_ID)}
MORE = {"Dora": 10, "Emil": 11}


async def converse(talk: Talk) -> None:
    more = [talk.telegram.add_user(name, user_id=user_id) for name, user_id in MORE.items()]
    for user in (talk.anna, talk.boris, talk.carla, *more):
        user.says(talk.bot, "/start")
        await talk.reads("You get the news now; /stop ends it.", chat_id=user.user_id)
    talk.boris.says(talk.bot, "/start")
    await talk.reads("You get the news already.", chat_id=talk.boris.user_id)
    await talk.asks("/news", "Write the news, or forward it to me.")
    await talk.asks("nothing much", "nothing much")
    question = await talk.reads("Shall this go out?")
    await talk.presses(question, "Throw away")
    await talk.reads("It is gone.")
    await talk.asks("/news", "Write the news, or forward it to me.")
    await talk.asks("The cat is back!", "The cat is back!")
    question = await talk.reads("Shall this go out?")
    talk.carla.blocks(talk.bot)
    await talk.presses(question, "Send to 5")
    await talk.reads("Sent to 4 of 5.")
    for user in (talk.boris, *more):
        await talk.reads("The cat is back!", chat_id=user.user_id)
    talk.boris.says(talk.bot, "/stop")
    await talk.reads("No more news.", chat_id=talk.boris.user_id)
    talk.boris.says(talk.bot, "/stop")
    await talk.reads("You got none.", chat_id=talk.boris.user_id)
