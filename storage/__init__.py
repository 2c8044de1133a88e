"""The books: every message and what became of it, the inbox, the bots, the chats. Knows no HTTP and no Telegram.

Read in this order:

    models                        the tables
    database                      one database: how to open it, write to it and read it
    group_commit, writers         many callers, one transaction, one connection that writes
    ledger                        the engine's port; its writing is in ``additions``, ``records``,
                                  ``hold_writes`` and ``chat_moves``, each a batch at a time
    many_rows, upsert             how a statement takes many rows, and rows that are there already
    outgoing, chat_ids            how messages and chats are read back
    session_lock                  a lock of PostgreSQL's; on it ``sole_use`` of the books, and ``leadership``
    epochs                        which schedule leases come from
    refusals                      how the drivers' errors become ours
    updates, chats, bots          the repositories of intake
    spool, uploads                files come in, and are kept for the messages that carry them; their writing
                                  is in ``upload_writes``
    limits                        what was changed of the environment's
    texts                         what was said lately, for text generators
    history                       the repository of whoever asks, and the dead letters
    retention                     how what is old goes
    keys                          ``SECRET_KEY``, and what is sealed with it
    migrations/                   the tables' history
"""
