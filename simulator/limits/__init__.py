"""The limits of the simulated Telegram, faults on demand, and the record of calls.

Read in this order:

    windows  true sliding windows, and the penalty of a 429
    faults   what goes wrong on demand
    record   what arrived, when, and what was answered
"""
