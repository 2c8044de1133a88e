"""Requests as no client should make them, to the webhook, the messages and the Bot API door.

``python -m tests.fuzz --minutes 2 --seed 7`` asks: is each answered below 500, within a time, in flat memory?

Read in this order:

    bodies    JSON and forms, right but for something
    requests  paths and heads, right but for something, around a body
    exchange  one request over a connection of its own, and what is wrong with its answer
    run       many of them against the real program
"""
