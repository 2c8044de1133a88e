"""What lookups and selections cost on a large database.

Read in this order:

    rows       makes a million accounts and their messages by SQL
    due_query  is a campaign's query, and are lookups of messages, fast among 30,000,000 messages?
    index_cost what do the indexes for lookups cost the ledger?
"""
