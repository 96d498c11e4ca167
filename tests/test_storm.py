"""Random sequences of faults, runs and cancellations, which Hypothesis shrinks when one fails."""

import tempfile
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.reliability.storm import Storm
from tests.reliability.troubled import KINDS, When


class StormMachine(RuleBasedStateMachine):
    """A campaign with a journal, and whatever may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._entered = start_blocking_portal()
        self._call = self._entered.__enter__().call
        self._storm = Storm(7, Path(self._folder.name) / "journal", seed=1)

    @rule(kind=st.sampled_from(sorted(KINDS)), when=st.sampled_from(When), share=st.sampled_from((0.0, 0.5, 1.0)))
    def strike(self, kind: str, when: When, share: float) -> None:
        """Let requests meet a fault."""
        self._storm.strike(KINDS[kind], when, share)

    @rule(leave_after=st.none() | st.integers(0, 7))
    def run(self, leave_after: int | None) -> None:
        """Run the campaign, or a part of it."""
        self._call(self._storm.run, leave_after)

    @rule(turns=st.integers(0, 200))
    def cancel(self, turns: int) -> None:
        """Cancel a run."""
        self._call(self._storm.cancel, turns)

    @rule()
    def reconcile(self) -> None:
        """Send again to the unknown recipients."""
        self._call(self._storm.reconcile)

    @rule()
    def renew(self) -> None:
        """Go on with another client."""
        self._call(self._storm.renew)

    @invariant()
    def nothing_is_wrong(self) -> None:
        """No recipient is lost or billed twice, and every claim is true."""
        assert not self._storm.wrong, str(self._storm.wrong)

    def teardown(self) -> None:
        """Run it to the end: every recipient has exactly one SMS."""
        try:
            self._call(self._storm.end)
            self.nothing_is_wrong()
        finally:
            self._call(self._storm.aclose)
            self._entered.__exit__(None, None, None)
            self._folder.cleanup()


TestStorm = StormMachine.TestCase
TestStorm.settings = settings(max_examples=25, stateful_step_count=8)
TestStorm = pytest.mark.timeout(120)(TestStorm)
