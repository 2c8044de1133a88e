"""Users, and what lets them and their programs in. No secret is stored as it is.

Read in this order:

    roles      what each may do
    secrets    texts that let in: their format, and how they are stored
    passwords  how passwords are stored
    users      people with a name and a role
    tokens     what programs are let in by
    links      what a user is let in by once
    sessions   what a browser is let in by
    under_keys  which of these end with a former ``SECRET_KEY``
"""
