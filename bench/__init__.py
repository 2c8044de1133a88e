"""Benchmarks: one question a file, each checks itself. ``harness`` starts what they measure.

python -m bench               all of them, one after another
python -m bench.one_bot       one of them
python -m bench.round_trips   600 chats over ways of 40 and 120 ms, counted anywhere in the round trip
python -m bench.unknown_limit a server that takes half of what we think
python -m bench.one_bot --broken   the same with a limiter that leaks: it must fail
python -m bench.other_clients      other frameworks' clients against the simulator; needs npm
python -m bench.other_clients --door   the same clients through the Bot API door
python -m bench.door               clients that know nothing of us, through the Bot API door; needs npm
python -m bench.peers              other senders and Tempogram, a table in markdown; needs npm
python -m bench.queues             four task queues and Tempogram on one Redis, a table in markdown
python -m bench.services.peers     other limiters and ours at a service that counts, tables in markdown; needs npm
python -m bench.services.overhead  what a call of a service costs beside the call itself
python -m bench.services.bulk      a bulk of calls with our limiter and without one
python -m bench.load               50 bots, 100 users, 50 updates a second by webhook: a baseline
python -m bench.mass_work          what 300,000 messages that expire, or are cancelled with their bot, cost others
python -m bench.idle               what each role takes to start, and what a fleet asks for while nothing happens
python -m bench.services.outage    a service that fails, slows down, hangs, answers 429 or is away: who calls it?
python -m bench.services.killed    processes and servers that die while calls of a service hold places
python -m bench.scheduler.contest  four tasks on the small budgets of a strict service, killed in between
python -m bench.scheduler.killed   processes with tasks are killed, stopped and cut off: does each due time run once?
python -m bench.scheduler.lateness 10,000 tasks a minute on one process: how late, and what does an idle hour cost?
python -m bench.watches.week       a simulated week of each preset of watches: calls, and how old the data is
python -m bench.crowded            how long a late message waits behind a million, on a virtual clock
python -m bench.alerts             every channel of alerts over kill -9: nothing lost, each once; needs PostgreSQL
python -m bench.alerts_of_several  an outage of Redis over a kill, in three processes: said once, and its end
python -m bench.selection.due_query   a campaign's query and lookups among 30,000,000 messages
python -m bench.selection.index_cost  what the indexes of these lookups cost the ledger
"""
