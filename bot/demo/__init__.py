"""``tempogram demo``: a real engine against a simulated Telegram, killed in the middle, and a report.

Read in this order:

    runner       the whole demo, from start to verdict
    settings     how many messages are sent, and when
    environment  the simulator, the engine, its bots, two groups and their members
    process      ``tempogram run`` as a child process
    prices       what chats watch: a shop whose prices change while the engine is down
    scenario     what happens: bulk, flood, urgent messages, questions, a broadcast, a watch, a kill -9
    judge        compares the promises with the simulator's record
    chart        numbers as small bars
    progress     the progress display
    report       the report at the end
"""
