"""The queue, twice, with one behaviour: see ``ports.broker``.

Only ``bot/wiring`` imports from here, but for ``redis/keys`` (``channels``) and ``redis/requirements`` (the doctor).

    memory  one process, no server
    redis   many processes, one queue in Redis

To add a verb:

1.  Write its promise into ``Broker`` (``engine/ports/broker.py``), and a test of it into the contract
    (``tests/engine/brokers/contract/``), which all brokers then fail.
2.  ``memory/broker.py``: a method that lets time pass and asks a part of the queue. Ring if more may go than before.
3.  ``redis/lua/<verb>.lua``: the same steps, under a header that names KEYS, ARGV, RETURNS, COST and the shared files
    that it USES. Nothing else lists it.
4.  ``redis/broker.py``: a method that calls the script by the verb's name, with one line of ``codec`` for what it is
    given and one for what it answers. If what stands in Redis changes its meaning, see ``SCHEMA`` in ``redis/keys.py``.
5.  ``tests/engine/brokers/naive_broker.py``: the verb with plain lists; in ``machine.py`` a rule that calls it, and in
    ``audit.py`` what must hold of its answer.
6.  ``engine/failover/failover_broker.py``: to which of the two it goes while Redis is away.
"""
