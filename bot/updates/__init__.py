"""Incoming updates.

Read in this order:

    sources        where each bot's updates come from (webhook, polling or neither), and which kinds
    source_health  tells an outage of Telegram from a trouble of one bot
    webhooks       sets and removes webhooks
    webhook_checkup  asks Telegram whether webhooks still stand
    poller         fetches updates by long polling
    intake         stores an update, then has it handled
    nesting        reads what no parser takes, so that it can be skipped
    normalize      fills in fields that a hand-written update lacks
    order          which updates are handled one after another
    handler_pool   runs a bounded number of handlers
    shares         how many of them may be one bot's
    chat_bound     how many of a bot's may be one chat's
    waiting_by_bot  what waits for a place
    handler_run    one run of a handler: its place, its time, and the waits of its calls
    stopwatch      counts the time that a handler runs
    recorder       stores incoming messages and their chats
    reachability   learns from updates whether a chat can be reached
    hearing        whether this process would notice that a lost chat is back
"""
