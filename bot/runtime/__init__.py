"""What runs while the program runs.

Read in this order:

    main         ``tempogram run | api | worker | scheduler``
    lifecycle    starts the loops, and ends them in order
    http_server  the server of the API
    reached      the address at which a listener is reached
    gc_tuning    when Python looks for garbage
"""
