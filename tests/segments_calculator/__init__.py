"""`webcom_async.segments` beside an independent calculator: `nox -s segments`."""
