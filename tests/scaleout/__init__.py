"""The proof that a campaign of many workers keeps its promises: `python -m tests.scaleout`."""
