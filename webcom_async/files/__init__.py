"""
Files of recipients, and of results: CSV, JSON Lines, Parquet and Arrow.

A table is read as a stream of rows, in bounded memory, as often as one likes; results are written as they come. What a
row means is `webcom_async.audience`'s to know.

Parquet and Arrow need the extra `[parquet]`.
"""

from webcom_async.files._csv import CsvTable
from webcom_async.files._jsonl import JsonLinesTable
from webcom_async.files._open import open_table
from webcom_async.files._results import RESULT_COLUMNS, Cells, ResultsFile, results_file
from webcom_async.files._table import Row, Table

__all__ = [
    "RESULT_COLUMNS",
    "Cells",
    "CsvTable",
    "JsonLinesTable",
    "ResultsFile",
    "Row",
    "Table",
    "open_table",
    "results_file",
]
