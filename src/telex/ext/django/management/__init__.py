"""The command of Django: ``manage.py telex``."""
