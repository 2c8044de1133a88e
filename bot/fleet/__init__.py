"""The bots: added, changed, removed.

Read in this order:

    fleet               adds, changes and removes bots
    fleet_reader        what a process that only sends knows of them
    registry            the bots that run in this process, in memory and in step with the database
    bot_objects         aiogram's ``Bot`` of each, and its defaults
    get_me              asks Telegram which bot a token belongs to
    token_rate_limit    limits how many new tokens Telegram sees in a while
    webhook_secrets     the secret of each bot's webhook
    revoked_tokens      pauses a bot whose token Telegram refuses
    removal             completes the removal of a bot: cancels its waiting messages
    cache_invalidation  reads again what other processes changed
"""
