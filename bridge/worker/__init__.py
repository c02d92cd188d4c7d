"""The process that does the work, and the two ends of the line to it.

    service ─► client.py ─► child.py ═ pipe ═ serve.py ─► pipeline.py ─► staged.py
                     messages.py, order.py: what goes through the pipe

Decoding, separation, effects and encoding happen in a child process: what crashes there (a plug-in,
a decoder), is killed for its memory, or hangs, costs one job and not the service. The parent's side
imports neither torch nor pedalboard.
"""
