"""Asks sources for the items that chats watch, when they are due, and within what their services allow.

Read in this order:

    slots       when in its interval an item is due
    pace        how far apart calls of a source begin
    answers     what a source answered, bounded
    watcher     asks for what is due
    watches     what subscribers do
    simulation  a week of each preset, in virtual time
    decisions   what the presets cost and give, as a table
"""
