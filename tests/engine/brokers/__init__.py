"""The brokers are held to one contract, and to one model.

Read in this order:

    contract                        what every broker promises, by subject
    naive_broker                    the rule once more, with plain lists: the model
    audit                           what must hold of any broker's answers
    machine                         drives a broker and the model through every verb
    test_brokers_model              the memory broker beside the model
    test_brokers_broken_on_purpose  every promise broken once, to see that it is noticed
    blocking                        the Redis broker without an event loop
    model_command                   the same machine for as many steps as one likes
"""
