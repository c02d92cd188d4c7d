"""A control surface for any DAW: jobs asked for, and told of, by Open Sound Control over UDP.

A packet ─► messages.py (what does it say?) ─► control.py ─► `Watch.submit` ─► ledger
the service's work ─► control.py, one of its audiences ─► packets to whoever asked
"""
