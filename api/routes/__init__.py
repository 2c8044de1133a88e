"""The endpoints, one noun a file.

Read in this order:

    webhook   where Telegram delivers updates; the hot path
    bot_api   the Bot API itself, for clients that know nothing of us
    messages  submit, read and cancel messages
    history   find what was sent and received
    queue     counts, and dead letters
    bots      add, read, change and remove bots
    chats     see, change and import what is known of chats
    chat_data  hand over what is kept of a chat, and erase it
    reengagement  whom a bot would re-engage
    limits    read and change the limits
    services  see, change, hold and stop what is called besides Telegram
    broadcasts  make, preview and control broadcasts
    alerts    what is wrong, and whether its channels work
    access/   who may do what, and who did
    tasks     see, change and run tasks
    selections  which chats of a bot a selection gives
    watches   see and change what chats watch
    metrics   for Prometheus, or as JSON
    health    whether the process is up
    cron_health  how tasks, loops and budgets are
"""
