"""The database: messages and their outcomes, updates, bots, chats. Knows neither HTTP nor Telegram's API.

Read in this order:

    database/      opens, writes and reads a database; the tables
    ledger/        the engine's port: messages and their outcomes, in batches
    messages       reads the history of messages and the dead letters
    lookups        queries that find messages by Telegram's number, by chat and by time
    handles        provisional numbers of messages that wait
    updates        received updates, until they are handled
    bots, chats    the registered bots, and the state of their chats
    chat_facts     what is said of chats, and how it is written
    limits         limits changed at run time
    audit          who changed what
    totals         sums over all processes, for the metrics
    services/      calls of services: what was changed of their limits, and what of long windows is used
    scheduler/     when tasks are due, how they go, and their last runs
    selection/     whom a bot writes to of its own accord, and the fence of its messages
    broadcasts/    one message to many chats, and what became of each
    alerts/        what is wrong, and what is still to be said of it
    watches/       what chats watch, what was observed of it, and what is to be said of that
    identity/      users, tokens and sessions of the API
    privacy/       what there is of a chat: to hand it over, and to erase it
    texts          recent texts of chats, for text generators
    fsm/           where each user stands in a conversation: aiogram's states
    files/         the files of messages
    processes/     locks, living processes, and the epoch
    retention      deletes what is old
    keys           ``SECRET_KEY``, and what is encrypted with it
    present_key    which key the database has, and whether that is being changed
    key_rotation   changes ``SECRET_KEY`` while everything runs
    sealed_tokens  which tokens can be read, entered anew, or encrypted with another key
    migrations/    the history of the tables
"""
