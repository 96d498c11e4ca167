"""A gateway on a socket that reports the arrival of its requests."""

import threading

import anyio

from webcom_async.emulator import Gateway, Received

__all__ = ["Watched"]

_PATIENCE = 30.0  # seconds


class Watched(Gateway):
    """An emulated gateway whose requests can be waited for."""

    _here = threading.Condition()

    def arrive(self, request: Received) -> None:
        """Report the arrival of a request."""
        with self._here:
            super().arrive(request)
            self._here.notify_all()

    async def until(self, requests: int) -> None:
        """Wait for so many requests, in all."""

        def wait() -> bool:
            with self._here:
                return self._here.wait_for(lambda: self.requests >= requests, timeout=_PATIENCE)

        assert await anyio.to_thread.run_sync(wait)
