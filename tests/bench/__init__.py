"""Our command measured beside its peers; `python -m tests.bench --help`.

music ─► experiments ─► results ─► report, targets ─► BENCHMARKS.md
             │ run by measure, compared by compare
peers ───────┘ installed with our weights by in_peer/
"""
