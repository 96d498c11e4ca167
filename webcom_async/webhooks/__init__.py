"""
Receive delivery reports that the gateway pushes.

* `WebhookApp` is an ASGI application: mount it in Starlette, FastAPI or Litestar, or run it alone with `webcom-async
  webhook`. It commits reports to a `ReportStore`, then acknowledges exactly the committed ones.
* `ReportFile` is a store in a file, which `WebcomClient.track` reads too.
* `parse` and `acknowledge` are pure functions on bytes, for a receiver of your own.

The vendor registers one URL per account. It offers a report up to five times, until the answer repeats the report's id.
It signs nothing, so the last part of the URL is the secret: serve it over https only.
"""

from webcom_async._domain.asgi import ReceiveCall, Scope, SendCall
from webcom_async._domain.errors import WebhookRefused
from webcom_async._storage.sqlite.report_file import ReportFile
from webcom_async.webhooks._app import Limits, ReportStore, WebhookApp, acknowledge, parse

__all__ = [
    "Limits",
    "ReceiveCall",
    "ReportFile",
    "ReportStore",
    "Scope",
    "SendCall",
    "WebhookApp",
    "WebhookRefused",
    "acknowledge",
    "parse",
]
