"""Open Sound Control (OSC) interface over UDP: submits jobs and sends their progress.

packet ─► port.py ─► messages.py (parse) ─► control.py ─► `Watch.submit` ─► ledger
service events ─► control.py, an `EventListener` ─► packets to the clients
"""
