"""What a process is told before it starts.

Read in this order:

    settings       every environment variable
    process_roles  run, api, worker, scheduler: what each does and needs
    data_dir       the directory of the database and the keys
    admin_token    the API's bearer token
    logging        how log lines look
"""
