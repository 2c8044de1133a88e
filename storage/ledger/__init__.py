"""The engine's ledger; each statement writes a batch.

Read in this order:

    ledger         the port, in SQLite or PostgreSQL
    add            stores new messages
    amend          stores what they are instead, while they wait
    record         stores their outcomes
    written        to which chat a message was written
    rows           reads messages back
    doubts         what is known of a message whose refusal leaves a doubt
    set_back       what times mean that a clock has written which was set back since
    holds          stores holds
    chat_changes   what a transaction changes of chats, written at its end
    chats          stores aliases and unreachable chats
    chat_ids       a chat's id as text
    memory_ledger  the port in memory, for tests
"""
