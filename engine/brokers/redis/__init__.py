"""The queue of many processes, in Redis. The rules run there, in ``lua/``; each verb is one script.

Read in this order:

    keys          every key and channel, for whoever opens ``redis-cli``
    broker        the verbs of ``Broker``
    scripts       loads the scripts
    codec         arguments and answers of the scripts
    constants     the numbers that Python hands to Lua
    records       messages and leases as they are kept
    requirements  whether a Redis is set up as the queue needs it
    lua/          the scripts, one verb a file; ``lua/shared/`` mirrors ``limits`` and ``brokers/memory``
"""
