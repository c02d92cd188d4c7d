"""Ledger: a persistent record of jobs and services, shared by threads and processes.

states.py has the states of a job (pure), rows.py reads and writes rows, database.py opens the file,
store.py is the ledger, services.py registers services, leases.py detects dead ones, recover.py
requeues their jobs.
"""
