"""
An audience: a table of people, what they are to be told, and what is wrong with it, before anything is sent.

A table is read twice. `Audience.check` reads it to its end and finds bad phones, duplicates, people on a stop list,
texts that cannot be made, and what all of it takes in parts; `Audience.people` then yields everyone with the verdict.
"""

from webcom_async.audience._audience import Audience, Person
from webcom_async.audience._audit import Audit, Finding, Sample, Verdict
from webcom_async.audience._columns import ColumnNames, Unused
from webcom_async.audience._stop_list import StopList

__all__ = ["Audience", "Audit", "ColumnNames", "Finding", "Person", "Sample", "StopList", "Unused", "Verdict"]
