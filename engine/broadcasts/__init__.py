"""One message to many chats: previewed, started, paused, resumed, cancelled, retried.

Read in this order:

    template  the fields of a chat in texts
    due       when each recipient is due
    forecast  when the last one arrives
    stopping  takes back what waits in the queue
    billing   what Telegram billed for a paid one
    board     what an operator sees and does
    feeder    hands recipients to the queue, in portions
"""
