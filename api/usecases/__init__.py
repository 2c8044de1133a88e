"""What the endpoints do.

Read in this order:

    submissions     takes messages in
    known_bots      whether a bot is known
    queued_message  one message: its state, why it waits, its cancellation
    dead_letters    lists, replays and purges dead letters
"""
