"""Who may do what, and who did.

Read in this order:

    audit  what was changed, and by whom
    keys   under which key secrets are encrypted
"""
