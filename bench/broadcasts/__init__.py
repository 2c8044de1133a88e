"""What broadcasts promise, shown on real processes and databases.

Read in this order:

    casting  an engine whose bots have many chats, and its broadcasts over the API
    once     paused, killed and resumed: does each chat get it once, in flat memory, by the time of the preview?
    urgent   how long does an urgent message wait during a broadcast?
    shares   ten bots with a broadcast each: what is the share of each, and does a cancelled one stop?
    million  what do a million recipients cost?
"""
