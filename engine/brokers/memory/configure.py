"""Other limits from now on: see ``lua/configure.lua``."""

from __future__ import annotations

from tempogram.engine.brokers.memory.queue import Queue
from tempogram.engine.limits.limits import PURSE_GRAINS, Limits
from tempogram.engine.limits.spacing import spacing
from tempogram.engine.limits.windows import reform


def configure(queue: Queue, limits: Limits, now_ms: int) -> None:
    """Give every gate its new limit; what is taken stays taken."""
    queue.ceiling = reform(queue.ceiling, limits.ceiling)
    queue.ceiling_spacing = spacing(limits.ceiling, limits.saved_up)
    queue.pool.places = limits.ceiling.places
    for group in queue.all_groups:
        group.share = limits.shares[group.priority]
    _configure_users(queue, limits)
    for bot in queue.bots.values():
        bot.gate, bot.adapted = reform(bot.gate, limits.bot), None
        bot.spacing = spacing(limits.bot, limits.saved_up)
        bot.paid_gate = reform(bot.paid_gate, limits.paid)
        bot.purse.reform(limits.purse, grains=PURSE_GRAINS)
        for chat in bot.chats.values():
            chat.adapted = None
            if chat.gate is not None:
                chat.gate = reform(chat.gate, limits.of_chat(chat.chat_id))
            for lane in chat.lanes:
                queue.offer_lane(lane, now_ms)
        queue.reoffer(bot, now_ms)


def _configure_users(queue: Queue, limits: Limits) -> None:
    """Know the users if they have a limit from now on, and do not if they have none any more."""
    for bot in queue.bots.values():
        known, bot.users = bot.users, {}
        for user_id, user in known.items():
            limited = reform(user.gate, limits.user)
            if limited is not None:
                bot.users[user_id], user.gate, user.open = user, limited, 0
    for entry in queue.entries.values():
        entry.user = queue.user(entry.lane.chat.bot, entry.message)
        if entry.user is not None:
            entry.user.open += 1
    for bot in queue.bots.values():
        for user in bot.users.values():
            queue.forget_user_later(user)
