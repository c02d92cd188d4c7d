"""Intake: finds finished bounces in a watched folder.

watcher.py receives file system events (hints), mounts.py detects network drives without them,
scan.py walks the folder (the truth), settle.py decides whether a bounce is finished, intake.py
joins them in one thread, not_read.py describes files that are not read.
"""
