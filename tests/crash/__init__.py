"""Nothing is lost: real services are ended, refused and starved at every step that changes a disk.

    zygote.py   a process that has imported the service and forks one for each order
    launch.py    such a service: the command as it is, but for its worker
    steps.py    in such a service: numbers every step that changes disk or ledger, and strikes there
    worker.py   the worker that such a service starts: the same numbering, and a model without torch
    scene.py    a watched folder, services on it, and the invariant
    soak.py     `make soak`: hours of a studio at ten times its rate, then everything is counted

The code of the service has no hooks for this: what it calls of the system is wrapped from outside.
"""
