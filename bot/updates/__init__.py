"""Updates in.

Read in this order:

    sources          where each bot's updates come from: a webhook, polling, or nowhere
    webhooks         sets and removes webhooks
    poller           asks for updates
    allowed_updates  which kinds of updates are asked for
    intake           stores an update, then has it handled
    normalize        fills in what Telegram leaves out
    handler_pool     runs handlers, bounded
    recorder         notes what came in, and what was said, for behaviours
    reachability     learns from updates whether a chat can be reached
"""
