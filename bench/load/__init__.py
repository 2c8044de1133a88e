"""50 bots, 100 users, 50 updates a second by webhook: how soon is each answered, and what does that take?

Question    The load test that the project set itself from the start. How long is it from a user's message to the bot's
            answer at Telegram? With the ceiling over all bots that is the default, 30 a second, which 50 updates a
            second outrun: what waits, do mentions and replies still come first, and is the queue empty when it must be?
Workload    3,000 texts in 60 s, at random instants drawn beforehand from a seed: 50 bots, each in two groups; 100
            users, each in the private chats of five bots. A fifth are in groups and address the bot (half mention it,
            half reply to it), so that their answers are high; those in private chats are normal. Each bot answers with
            the same text (the behaviour ``echo``). Each update comes by webhook, with its secret, as Telegram brings
            it: in its chat after the one before has its 200, over at most 40 connections for each bot, and again if
            refused.
Measured    **Everything from the planned instant of the update**, also where an update began late because its
            connection or its chat was busy: who waits to be asked does not see how long others waited. To the 200, and
            to the arrival of the answer at the simulator. How late the load itself was. CPU and memory of every process
            and how much is queued, every 2.5 s.
Not measured  The way to the real Telegram and back. Starting up, and one answer of each bot to warm up.
Checked     The load kept its plan (p99 within 20 ms). Every update has its 200 at the first try, and exactly one
            answer; a chat's answers in order; no 429, no window broken.
            With the ceiling at 0: p99 of all within 250 ms. With a ceiling: p99 of high within 500 ms; what waits
            leaves at 97 % of the ceiling, and the last answer arrives when that says, give or take two seconds.

    python -m bench.load [--roles] [--ceiling 0] [--seconds 60] [--seed 1] [--broken]

Read in this order:

    plan         which update is due when
    deliveries   brings them, whatever became of those before
    usage        what each process takes, and what is queued
    result       what arrived, counted from the planned instants
    run          the engine and the simulator with this load
"""
