"""Evaluation of models on music with known stems.

references.py   tracks with true stems: folders of stems and .stem.mp4 files
stem_mp4.py     streams of a .stem.mp4
matching.py     assignment of estimates to true stems (pure)
scores.py       scores of one system on one track
run.py          models, baselines and the oracle on all tracks
tables.py       output as CSV and JSON
"""
