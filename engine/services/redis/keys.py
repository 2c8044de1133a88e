"""Every Redis key of the calls to services, for a look with ``redis-cli``.

    {svc0}:state               incarnation, time, arrivals, its start, what is due when           string, msgpack
    {svc0}:meter:<limiter>     what of a limiter is used; expires when nothing is                 string, msgpack
    {svc0}:waiting:<limiter>   ids of the calls that wait for it, by priority, then arrival       zset
    {svc0}:looks               limiters by when something may begin at them                       zset, ms
    {svc0}:limit:<limiter>     its limit, of a version above 1; expires                           string, msgpack
    {svc0}:calls               every call that waits or is under way, by its id                   hash of msgpack
    {svc0}:processes           processes by when their calls are forgotten if nothing is heard    zset, ms
    {svc0}:of:<process>        ids of the calls of a process                                      set
    {svc0}:fails:<limiter>     processes that do not call it, by until when                       zset, ms
    {svc0}:failing             limiters of which processes agree that they fail, by until when    zset, ms
    {svc0}:begun:<process>     ids of its calls that another process's exchange let begin         list

They have nothing to do with the queue of messages, whose keys stand in ``brokers/redis/keys``.
"""

SCHEMA = 0
"""The version of these keys and of what stands in them; processes of different schemas share no limit."""


def prefix(schema: int = SCHEMA) -> str:
    """Return how all keys begin."""
    return f"{{svc{schema}}}:"
