"""Who may do what, and who did.

Read in this order:

    users   see, add, change and remove users
    tokens  see, make and revoke API tokens
    sessions  log in and out, and see one's own sessions
    audit   what was changed, and by whom
    keys    under which key secrets are encrypted
"""
