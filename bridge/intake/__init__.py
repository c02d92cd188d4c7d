"""From a watched folder to settled bounces.

watcher.py hears what the system reports (hints; mounts.py knows where it cannot), scan.py walks the
folder (the truth), settle.py decides whether a bounce is finished, intake.py joins them in one
thread, claim.py says which bytes a bounce is, names.py says where its stems go.
"""
