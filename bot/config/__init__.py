"""The configuration of a process.

Read in this order:

    settings       every environment variable
    secret_files   secrets that stand in files instead
    urls           what is wrong with a URL, said without quoting it
    environment    variables that services and tasks have chosen
    misspelt       variables that are nearly settings
    process_roles  run, api, worker, scheduler: what each does and needs
    data_dir       the directory of the database, the keys and the admin token
    file_modes     whether others may read or change these
    logging        the format of log lines
"""
