"""What all clients that share limits have in common: the requests of one account, in one process and event loop."""

from collections.abc import Sequence

import anyio

from webcom_async._batching.batcher import Batch
from webcom_async._domain.clock import Clock
from webcom_async._domain.results import SendResult
from webcom_async._domain.types import ClientIdSms
from webcom_async._events.observers import Observers
from webcom_async._events.sending import LimitChanged
from webcom_async._gateway.admission import Admission

__all__ = ["AccountTraffic"]


class AccountTraffic:
    """
    The requests of one account: their limits, and their ids.

    Args:
        in_flight: The maximum number of requests in flight.
        rate: The maximum number of recipients per second; None for no limit.
        clock: Time and chance.

    Attributes:
        admission: What admits requests.
        ids_in_flight: Ids in requests without an answer yet. An id is in one request at a time: the manual does not say
            whether the gateway deduplicates two at once.
        observers: The observers of each client.
        loop: The event loop; None before the first request.
    """

    def __init__(self, in_flight: int, rate: float | None, clock: Clock) -> None:
        self.admission: Admission = Admission(in_flight, rate, clock, self._limit_changed)
        self.ids_in_flight: set[ClientIdSms] = set()
        self.observers: list[Observers] = []
        self.loop: object = None
        self._batches: list[Batch] = []
        self._expected: dict[ClientIdSms, ExpectedResult] = {}

    def _limit_changed(self, before: int, limit: int) -> None:
        for observers in self.observers:
            observers.emit(LimitChanged(before=before, limit=limit))

    def register(self, batch: Batch) -> None:
        self._batches.append(batch)
        self.ids_in_flight.update(batch.client_ids)

    def unregister(self, batch: Batch, results: Sequence[SendResult]) -> None:
        """Take *batch* out of those in flight, and resolve the calls that wait for its ids."""
        self._batches.remove(batch)
        self.ids_in_flight.difference_update(batch.client_ids)
        if self._expected:
            for result in results:
                expected = self._expected.pop(result.client_id_sms, None)
                if expected is not None:
                    expected.resolve(result)
            for client_id in self._expected.keys() & batch.client_ids:
                self._expected.pop(client_id).resolve(None)

    def find_batch(self, client_id: ClientIdSms) -> Batch | None:
        if client_id not in self.ids_in_flight:
            return None
        return next((batch for batch in self._batches if client_id in batch.client_ids), None)

    async def wait_for_result(self, client_id: ClientIdSms) -> SendResult | None:
        """Wait for the batch in flight with *client_id*; None if its result is not known."""
        expected = self._expected.setdefault(client_id, ExpectedResult())
        await expected.resolved.wait()
        return expected.result


class ExpectedResult:
    """
    A result that a call waits for.

    Attributes:
        resolved: An event that is set when the result is here.
        result: The result; None if it is not known.
    """

    def __init__(self) -> None:
        self.resolved = anyio.Event()
        self.result: SendResult | None = None

    def resolve(self, result: SendResult | None) -> None:
        self.result = result
        self.resolved.set()
