"""What the endpoints do.

Read in this order:

    submissions     accepts messages
    known_bots      caches which bots exist
    queued_message  one message: its state, why it waits, its cancellation
    dead_letters    lists, replays and purges dead letters
"""
