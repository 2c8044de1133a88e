"""The queue of one process.

Read in this order:

    broker    the verbs of ``Broker``
    leases    leases, their deadlines and how they end
    queue     what waits, and what goes next
    lanes     the parts of the queue: entries, lanes, chats, bots
    wakeup    wakes a worker when more may go
    explain   tells why a message waits
"""
