"""What processes tell one another: answers for callers who wait, and changes that others keep in memory.

redis_results, memory_results   answers; ``results_codec`` is their form in Redis
redis_changes, memory_changes   changes
reconnect                       how a Redis channel goes on after its connection broke
"""
