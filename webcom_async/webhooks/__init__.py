"""
Delivery reports that the gateway sends unasked.

* `WebhookApp`, an ASGI application: mount it in Starlette, FastAPI or Litestar, or run it alone with
  `webcom-async webhook`. It commits reports to a `ReportStore` first, and acknowledges exactly what was committed.
* `ReportFile`, a store in a file, which `WebcomClient.track` reads too.
* `parse` and `acknowledge`, pure functions on bytes, for a receiver of your own.

The vendor registers one URL per account, offers a report five times unless its id is repeated in the answer, and signs
nothing: the URL's last part is the secret. Serve it over https only.
"""

from webcom_async._domain.errors import WebhookRefused
from webcom_async._http.asgi import ReceiveCall, Scope, SendCall
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
