"""What a backup takes and where a restore puts it: the database, the vault.

A third part is a module of its own beside ``database`` and ``vault``. ``names`` has its name, ``choice`` says when a
job has it, ``request`` takes its settings, ``backup`` and ``restore`` draw its edge, and the reports have a field for
what it did.
"""
