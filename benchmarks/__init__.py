"""Measurements beside other libraries, and what they are held against; see README.md in this folder."""
