"""Promises, and what shows them."""
