"""Tests of private packages, one file or a few for each; all other tests use public paths alone."""
