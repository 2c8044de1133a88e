"""The bots: how they come, change and go.

Read in this order:

    fleet               adds, changes and removes bots
    registry            which bots run in this process
    register            keeps the registry and the database in step
    changes             whose turn it is to change a bot
    get_me              asks Telegram who a bot is
    token_rate_limit    how many new tokens Telegram may see in a while
    webhook_secrets     the secret of each bot's webhook
    removal             ends what a removed bot leaves behind
    cache_invalidation  what other processes changed is read again
"""
