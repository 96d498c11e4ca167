"""`webcom-async completion`: what a shell needs to complete commands and options."""

from collections.abc import Callable
from typing import Literal

from webcom_async._cli.ui.console import say

__all__ = ["Shell", "completion_command"]

Shell = Literal["bash", "zsh", "fish"]


def completion_command(generate: Callable[[Shell], str]) -> Callable[[Shell], None]:
    """Return the command; *generate* makes a shell's script."""

    def completion(shell: Shell, /) -> None:
        """
        Print what a shell needs to complete commands and options.

        For bash: `webcom-async completion bash > ~/.local/share/bash-completion/completions/webcom-async`.

        Args:
            shell: Which shell.
        """
        say(generate(shell).rstrip("\n"))

    return completion
