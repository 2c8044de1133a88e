"""The rules: how many messages in how long, and whose turn it is. Pure arithmetic without time of its own.

Read in this order:

    limits      the limits as versioned data
    windows     the places of a limit, and when they are free again
    aimd        a limit that a 429 lowers for a while
    fair_queue  stride scheduling: whose turn it is
"""
