"""Batch conversion of a session export: one run of `bridge.service.watch`, and a summary.

patterns.py  file patterns of --map (pure)
rules.py     presets by pattern (pure)
plan.py      bounces, their state before the batch, and the folders of their stems
pace.py      estimate of the remaining time from measured speeds (pure)
progress.py  progress of each bounce, for display
run.py       plan ─► watch ─► outcomes
outcome.py   result of each bounce, with its stems' manifest
tables.py    outcomes as CSV        page.py  outcomes as an HTML page
sessions.py  one session file with all stems
"""
