"""Pages for browsers, without scripts of others.

Read in this order:

    pages  turns templates into pages, and says what a browser may load for them
    files  the files beside them: styles, and the viewer of the API's description
    routes  the log-in, and the description of the API for people
"""
