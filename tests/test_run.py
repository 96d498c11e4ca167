"""`run`: a script's main function, which ends as a command does."""

from collections.abc import Callable
from functools import partial

import anyio
import pytest

from webcom_async import (
    AuthenticationError,
    ConfigurationError,
    GatewayUnavailable,
    InputError,
    JournalError,
    OutOfBalance,
    UsageError,
    WebcomClient,
    WebcomError,
    run,
)
from webcom_async.emulator import Gateway, GatewayTransport

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@BACKENDS
def test_what_the_function_returns_is_returned(webcom_gateway: Gateway, backend: str):
    """`run` runs an async function to its end."""

    async def main() -> int:
        async with WebcomClient(token=webcom_gateway.token, transport=GatewayTransport(webcom_gateway)) as client:
            return (await client.send_all(["79612242243"], text="Sale!", sender="ACME")).accepted

    assert 1 == run(main, backend=backend)


@BACKENDS
def test_a_wrong_token_is_a_line_with_the_counts(
    webcom_gateway: Gateway, backend: str, capsys: pytest.CaptureFixture[str]
):
    """The line names the error and how far the campaign came; the status is 2."""

    async def main() -> None:
        async with WebcomClient(token="wrong", transport=GatewayTransport(webcom_gateway)) as client:
            await client.send_all(["79612242243"], text="Sale!", sender="ACME")

    with pytest.raises(SystemExit) as ended:
        run(main, backend=backend)

    [line] = capsys.readouterr().err.splitlines()
    assert 2 == ended.value.code
    assert line.startswith("AuthenticationError: the gateway answered: Incorrect login or password (1 recipients")
    assert isinstance(ended.value.__cause__, AuthenticationError)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AuthenticationError(), 2),
        (ConfigurationError(), 2),
        (InputError("no text"), 2),
        (JournalError(), 2),
        (UsageError(), 2),
        (OutOfBalance(), 3),
        (GatewayUnavailable(), 3),
    ],
    ids=lambda each: type(each).__name__,
)
def test_the_status_is_the_command_lines(error: WebcomError, status: int, capsys: pytest.CaptureFixture[str]):
    """Wrong input is 2; a gateway or a network that fails is 3."""

    async def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run(main)

    assert (status, f"{type(error).__name__}: {error}\n") == (ended.value.code, capsys.readouterr().err)


@BACKENDS
def test_an_error_in_a_task_group_is_a_line(webcom_gateway: Gateway, backend: str, capsys: pytest.CaptureFixture[str]):
    """A script that sends codes beside a campaign, in a task group, ends as one without a task group."""

    async def main() -> None:
        async with (
            WebcomClient(token="wrong", transport=GatewayTransport(webcom_gateway)) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(partial(client.send_all, ["79612242243"], text="Sale!", sender="ACME"))

    with pytest.raises(SystemExit) as ended:
        run(main, backend=backend)

    [line] = capsys.readouterr().err.splitlines()
    assert 2 == ended.value.code
    assert line.startswith("AuthenticationError: ")


def test_several_errors_of_a_task_group_are_the_callers():
    """No error of a group is hidden behind another."""

    async def main() -> None:
        raise ExceptionGroup("two", [OutOfBalance(), ZeroDivisionError()])

    with pytest.raises(ExceptionGroup):
        run(main)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_any_other_exception_is_the_callers(error: type[BaseException]):
    """A bug keeps its traceback."""

    async def main() -> None:
        raise error

    fails: Callable[[], object] = lambda: run(main)  # noqa: E731
    with pytest.raises(error):
        fails()
