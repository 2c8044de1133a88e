"""Who may send when, what goes wrong on demand, and what is written down.

Read in this order:

    windows  true sliding windows, and the penalty of a 429
    faults   what goes wrong on demand
    record   what arrived, when, and what was answered
"""
