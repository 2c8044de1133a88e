"""``tempogram demo``: a real engine before a simulated Telegram, killed in the middle, and what came of it.

process    tempogram run in a process of its own
script     how much of everything there is, and when
stage      the simulator, the engine, its bots, two groups, and people in them
play       what happens there: bulk, flood, urgent messages, questions, a kill -9
judge      what was promised and what Telegram's record says, compared; values only
chart      numbers as small bars
progress   how it goes, while it goes
report     what came of it
show       all of it, from the start to the verdict
"""
