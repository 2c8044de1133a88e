"""What requests and answers look like.

Read in this order:

    fields    the types of fields
    messages  a message, its state, the queue, bots, health
    limits    the limits
"""
