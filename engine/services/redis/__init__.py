"""The queue of calls of many processes, in Redis.

Read in this order: ``keys``, ``scripts`` (and ``lua/``), ``queue``: what one process says and hears, ``limiter``.
"""
