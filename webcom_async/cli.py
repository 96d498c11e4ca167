"""
The command line, for programs that run it in their own process; installed with the `[cli]` extra.

    from webcom_async.cli import main

    exit_code = main(["send", "people.csv", "--sender", "ACME", "--text", "Sale!", "--yes"])
"""

from webcom_async._cli import main

__all__ = ["main"]
