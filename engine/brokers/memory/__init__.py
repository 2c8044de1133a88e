"""The queue of one process.

Read in this order:

    broker       the verbs of ``Broker``; each asks one of the parts below
    queue        what waits, until when, and which of it may go
    lanes        whose turn it is, between priorities, bots and chats; messages, lanes, lines, users
    admissions   how messages enter the queue, and replace one another there
    leases       leases the message whose turn it is; deadlines
    settlements  how a lease ends, and what follows from it
    holds        holds of chats and bots, and what a 429 tells of both
    migration    a chat that has another id from now on
    configure    other limits from now on
    wakeup       wakes a worker when more may go
    explain      why a message waits

Each but ``broker`` has a twin in ``brokers/redis/lua``, which says so in its header and does the same step for step.
"""
