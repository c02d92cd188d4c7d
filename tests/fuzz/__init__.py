"""Fuzzing: bytes that nobody would think of, for everything that reads a stranger's file.

    make fuzz                        ten minutes in all
    make fuzz FUZZ_S=60              a minute
    python -m tests.fuzz probe -s 30 one target

There are four targets (targets.py): the header probe, the chunk reader, the preset loader and the
decoder. atheris feeds them, guided by the lines of Python that an input reaches; it starts from
seeds.py. Whatever a file holds, a target ends as a result or as one error of our tree, within 20
seconds and 2 GB. Anything else ends the run with exit code 1 and the file that did it, under
tests/fuzz/found/<target>/. It stays there: test_targets.py reads every such file in each test run.
"""
