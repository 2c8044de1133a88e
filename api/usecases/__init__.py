"""What the endpoints do.

Read in this order:

    submissions      accepts messages
    known_bots       caches which bots exist
    queued_message   one message: its state, why it waits, its cancellation
    tagged_messages  cancels what waits with a tag
    queue_stats      counts the queue
    reengagement     shows whom a bot would re-engage
    services         shows and changes services
    chats            shows and changes what is known of chats, and opts them out
    chat_import      reads it from a list
    tasks_shown      tasks, loops and budgets as the API shows them
    tasks            shows, changes and runs tasks
    watches          shows and changes what chats watch
    cron_health      how tasks, loops and budgets are
    broadcasts       makes, previews and controls broadcasts
    selections       counts and lists the chats of a selection
    access/          who is let in: users and their tokens
    dead_letters     lists, replays and purges dead letters
    bot_api          calls of the Bot API: awaited for a while, and taken back
    monitoring       whether the process works, and its metrics
    retry_times      when callers that found no place are to come back
"""
