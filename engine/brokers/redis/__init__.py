"""The queue of many processes, in Redis. The rules run there, in ``lua/``; each verb is one script.

Read in this order:

    keys          every key and channel, for a look with ``redis-cli``
    broker        the verbs of ``Broker``
    calls         runs the scripts; finds or begins the queue
    clock_gap     how far its time is from that of this process
    ownership     to which ledger the queue belongs
    codec         arguments and answers of the scripts
    records       messages and leases as they are kept
    scripts       puts the scripts together
    constants     the numbers that scripts are given
    wakeup        wakes a worker when more may go
    connection    a client of Redis, and what its errors are called
    requirements  whether a Redis is set up as the queue needs it

``lua/`` holds the scripts, one verb a file; ``lua/shared/`` mirrors ``limits`` and ``brokers/memory``, and the header
of each file names its twin.
"""
