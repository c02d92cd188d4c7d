"""What became of every bounce: survives restarts, shared by threads and processes.

states.py says what may happen to a job (pure), database.py opens the file, store.py is the ledger,
recover.py puts it right when a service starts.
"""
