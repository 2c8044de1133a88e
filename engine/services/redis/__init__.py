"""The queue of calls of many processes, in Redis."""
