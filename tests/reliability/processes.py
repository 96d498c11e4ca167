"""Processes that are killed at a random moment."""

from collections.abc import Callable
from multiprocessing.context import ForkServerContext

__all__ = ["killed_after"]


def killed_after(context: ForkServerContext, seconds: float, target: Callable[..., None], *arguments: object) -> bool:
    """Run *target* in a process, and kill it after *seconds*; return False if it ended before."""
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    killed = process.exitcode == -9
    process.close()
    return killed
