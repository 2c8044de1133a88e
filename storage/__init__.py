"""The database: every message and what became of it, the inbox, the bots, the chats. Knows no HTTP and no Telegram.

Read in this order:

    database/    opening, writing and reading a database; the tables
    ledger/      the engine's port: messages and their outcomes, in batches
    messages     the history of messages, and the dead letters
    updates      the inbox
    bots, chats  the fleet, and the chats that it talks to
    limits       limits that were changed at run time
    texts        what was said lately, for text generators
    files/       files that messages carry
    processes/   locks, the processes that live, and the epoch
    retention    removes what is old
    keys         ``SECRET_KEY``, and what is sealed with it
    migrations/  the tables' history
"""
