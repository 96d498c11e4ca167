"""
The size of a request that the gateway can answer, learnt from its answers.

Pure: it reads sizes and answers with a decision.
"""

__all__ = ["RequestSize"]

_FIRST_PROBATION = 4  # answers in a row: ours


class RequestSize:
    """
    What the answers of a campaign teach about the size of a request.

    A 413 stays true, so the size in bytes that it refuses is remembered. Answers with too few or too many entries may
    be an accident, or one recipient may cause them: the number of recipients that follows from them is doubled after
    some whole answers, and each doubling that fails makes the next one wait twice as long.

    Attributes:
        most: The maximum number of recipients in a request; None if all numbers work.
    """

    def __init__(self) -> None:
        self.most: int | None = None
        self._worked = 0
        self._doubted = False
        self._whole_answers = 0
        self._probation = _FIRST_PROBATION
        self._grew = False
        self._largest_failed = 0
        self._refused_bytes: int | None = None
        self._has_fitted = False

    def is_too_large(self, recipients: int, size: int) -> bool:
        """Whether a request for several *recipients*, of *size* bytes, is known to fail."""
        if recipients == 1:
            return False
        if self.most is not None and recipients > self.most:
            return True
        refused = self._refused_bytes
        # What is as large as a refused request is tried, until something smaller has been taken.
        return refused is not None and (size > refused or (size == refused and self._has_fitted))

    def refused(self, size: int) -> None:
        """Learn that *size* bytes are too large for the gateway."""
        if self._refused_bytes is None or size < self._refused_bytes:
            self._refused_bytes = size
            self._has_fitted = False

    def failed(self, recipients: int) -> None:
        """Learn that answers for so many *recipients* have too few or too many entries."""
        if recipients <= self._worked and not self._doubted:
            self._doubted = True  # one of these recipients may be the cause
            return
        if self._grew:
            self._probation *= 2
            self._grew = False
        self._doubted = False
        self._worked = min(self._worked, recipients - 1)
        self._whole_answers = 0
        self._largest_failed = max(self._largest_failed, recipients)
        self.most = max(1, (recipients + 1) // 2)

    def worked(self, recipients: int) -> None:
        """Learn that a request for so many *recipients* was answered whole."""
        self._has_fitted = True
        self._doubted = self._doubted and recipients < self._worked
        self._worked = max(self._worked, recipients)
        if self.most is None or recipients < self.most:
            return
        self._whole_answers += 1
        if self._whole_answers >= self._probation:
            self._whole_answers = 0
            self._grew = True
            self.most *= 2
            if self.most >= self._largest_failed:
                self.most = None
