"""The larger parts of the command line. What they need is imported when they run: ``--help`` is quick.

queue        looks at the queue and its dead letters, over the API
explanation  why a message waits, in plain words
client       that API
doctor       says what a production start lacks
checks       what the doctor looks at, each with the way out
"""
