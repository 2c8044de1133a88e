"""``tempogram services``: what is called besides Telegram, over the API.

Read in this order:

    services  the commands
    tables    services as tables
    watch     a table that is drawn anew each second
"""
