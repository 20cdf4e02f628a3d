"""Arguments of the command line, beside those in ``cli.py``. Light: ``--help`` imports it."""
