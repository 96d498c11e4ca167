"""
The proof of what the library promises: `python -m tests.reliability` measures it and prints one table.

One module per subject, each with a `measure` that returns rows of the table. The judge is always the ledger of the
emulated gateway, which knows what was really sent, against what the client claims.
"""
