"""Mutation testing: bugs are put into copies of the source, and the tests have to find them.

`python -m tests.mutants` puts in the bugs of the kernel (`kernel.py`) and runs its state machines; `--hand` puts in the
bugs of `hand.py` and runs the test that each names; `--sample N` draws N generated bugs over all of `src/telex`
(`generate.py`) and runs the tests that cover the changed lines (`cover.py`). CONTRIBUTING.md describes the three.
"""
