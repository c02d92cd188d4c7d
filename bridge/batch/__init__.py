"""Batch conversion of a session export: one run of `bridge.service.watch`, and a summary.

rules.py     which preset a bounce gets by its path (pure)
plan.py      what lies there, what is done already, where each set of stems goes
pace.py      how long the rest will take, from measured speed (pure)
progress.py  what the service tells, kept for whoever shows it
run.py       plan ─► watch ─► outcomes
outcome.py   what became of each bounce, and its levels
tables.py    the same as CSV        page.py  the same as a page of HTML
sessions.py  one session file with every stem at its place
"""
