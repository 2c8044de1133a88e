"""The queue, twice, with one behaviour: see ``ports.broker``. Only ``bot/wiring`` imports from here.

memory/   one process, no server
redis/    many processes, one queue in Redis
"""
