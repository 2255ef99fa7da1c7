"""``sqlite:///file.db``: logs are tables of one file, for the processes of one machine."""
