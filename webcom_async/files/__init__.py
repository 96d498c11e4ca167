"""
Files of recipients and of results: CSV, JSON Lines, Parquet and Arrow.

Tables are read as a stream of rows in bounded memory, as often as needed. Results are written as they arrive.
`webcom_async.audience` gives the rows their meaning.

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
