"""Where each user stands in a conversation: aiogram's FSM states and their data. See decision 0020.

Read in this order:

    rows    one row: a state, its data, and what they were before the last update
    data    data as JSON
    states  the repository
    writes  the statements that write rows
"""
