"""
The proof of what the library promises: `python -m tests.reliability` measures it and prints one table.

One module per subject, each with a `measure` that returns rows of the table. The judge is always the ledger of the
emulated gateway, which has the SMS that were sent, against the claims of the client.
"""
