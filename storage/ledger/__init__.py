"""The engine's ledger. Each statement takes a batch.

Read in this order:

    ledger         the port, in SQLite or PostgreSQL
    add            takes messages in
    record         writes down what became of them
    rows           reads messages back
    holds          keeps holds
    chats          lets two ids be one chat
    chat_ids       how a chat's id stands in a column
    memory_ledger  the port in memory, for tests
"""
