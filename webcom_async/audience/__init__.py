"""
Audiences: a table of recipients and their texts, checked before anything is sent.

`Audience.check` reads the whole table and finds bad phones, duplicates, phones on a stop list and texts that cannot be
rendered, and counts the SMS that the texts take. `Audience.people` then reads it again and yields each row with its
verdict.
"""

from webcom_async._domain.phones import normalise_phone
from webcom_async.audience._audience import Audience, Person
from webcom_async.audience._audit import Audit, Finding, Sample, Verdict
from webcom_async.audience._columns import ColumnNames, Unused
from webcom_async.audience._stop_list import StopList

__all__ = [
    "Audience",
    "Audit",
    "ColumnNames",
    "Finding",
    "Person",
    "Sample",
    "StopList",
    "Unused",
    "Verdict",
    "normalise_phone",
]
