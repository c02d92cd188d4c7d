"""How well models separate, measured on music whose true stems are known.

references.py   what there is to measure on: folders of stems and .stem.mp4 files
stem_mp4.py     the streams of a .stem.mp4
matching.py     which estimate is compared with which true stem (pure)
scores.py       one system's estimates of one track, scored
run.py          the loop: systems x tracks; models, baselines and the oracle
tables.py       CSV and JSON
"""
