"""Worker process for decoding, separation, effects and encoding, and both ends of its pipe.

    service ─► client.py ─► child.py ═ pipe (protocol.py) ═ serve.py ─► render/pipeline.py

A crash (of a plugin or decoder), a kill for lack of memory, or a hang of the process costs one job
and not the service. The parent imports neither torch nor pedalboard.
"""
