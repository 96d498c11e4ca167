"""One request from arrival to answer, faults included; the same for every face of the emulator."""

import anyio

from webcom_async.emulator._faults import Fault
from webcom_async.emulator._gateway import Gateway, GatewayAnswer, Received
from webcom_async.emulator._pushing import push

__all__ = ["Conversation", "hold"]


class Conversation:
    """
    What a face has to put on its wire.

    Attributes:
        answer: What to answer; None to close the connection instead.
        cut: Bytes of the body after which to break the connection; None to send it whole.
    """

    def __init__(self, answer: GatewayAnswer | None, cut: int | None = None) -> None:
        self.answer = answer
        self.cut = cut


async def hold(gateway: Gateway, request: Received) -> Conversation:
    """The fault says in which order *request* meets it and the gateway."""
    gateway.arrive(request)
    with gateway.serving(request) as refusal:
        return await _answer(gateway, request) if refusal is None else Conversation(refusal)


async def _answer(gateway: Gateway, request: Received) -> Conversation:
    fault = gateway.faults.draw()
    if fault.arrived is not None:
        fault.arrived.set()
    if fault.until is not None:
        await fault.until.wait()
    # Before the delay: a client that stops waiting does not undo what it asked for.
    real = gateway.process(request) if fault.processed or not fault.answers else GatewayAnswer(200, {}, b"")
    if gateway.push is not None:
        await push(gateway.webhooks, gateway.push)
    await anyio.sleep(gateway.latency + fault.delay)
    return Conversation(None if fault.close else _spoilt(real, fault), fault.cut)


def _spoilt(answer: GatewayAnswer, fault: Fault) -> GatewayAnswer:
    return GatewayAnswer(
        answer.status if fault.status is None else fault.status,
        answer.headers | fault.headers,
        answer.body if fault.body is None else fault.body,
    )
