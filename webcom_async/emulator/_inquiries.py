"""
What the gateway answers when it is asked: statuses and balances.

Pure: the account, the ledger and the time are given. What the vendor leaves open is an option of `Inquiries`.
"""

from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

from webcom_async._domain.reasons import Reason
from webcom_async.emulator._ledger import Ledger, Sms
from webcom_async.emulator._scenarios import DeliveryScenarios
from webcom_async.emulator._wire import (
    BadDocument,
    Document,
    StatusQuestion,
    balance_answer,
    read_status_questions,
    status_entry,
)

__all__ = ["Inquiries", "InquiryContext", "InquiryRefused", "Several", "Unlimited"]

Several = Literal["all", "first", "refused"]
Unlimited = Literal["Unlim", "Безлимит"]


class Inquiries(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the vendor leaves open about questions.

    Attributes:
        several: What becomes of a question about several SMS: all are answered, the first one is, or it is refused.
        array: Whether a question in an array is understood, as the page's example has it.
        bare: Whether a bare object is, as the page's table has it.
        bare_answer: Answer a question about one SMS with an object, without an array around it.
        numeric_ids: Write `id_sms` as a number.
        named: Write ids into answers at all.
        unknown: The sentence for an id that is not the account's; None to leave it out of the answer.
        num_sms: The name of a direction's count: `num_sms` in the page's example, `sms` in its table.
        unlimited: The word for a count without a limit.
        text_money: Write money in quotes.
        currency: Of the money.
    """

    several: Several = "all"
    array: bool = True
    bare: bool = True
    bare_answer: bool = False
    numeric_ids: bool = True
    named: bool = True
    unknown: str | None = "Сообщение с таким ID не принималось"
    num_sms: Literal["num_sms", "sms"] = "num_sms"
    unlimited: Unlimited = "Unlim"
    text_money: bool = True
    currency: str = "RUR"

    def questions(self, body: bytes) -> list[StatusQuestion]:
        """
        Return what is asked.

        Raises:
            InquiryRefused: In no shape that is understood.
        """
        try:
            asked = read_status_questions(body)
        except BadDocument:
            raise InquiryRefused(Reason.BAD_DOCUMENT) from None
        understood = self.array if isinstance(asked, list) else self.bare
        questions = asked if isinstance(asked, list) else [asked]
        if not understood or not questions or (len(questions) > 1 and self.several == "refused"):
            raise InquiryRefused(Reason.BAD_DOCUMENT)
        return questions[:1] if self.several == "first" else questions

    def answer(self, questions: list[StatusQuestion], known: "InquiryContext") -> list[Document] | Document:
        """Return the answer to *questions*."""
        entries = [entry for question in questions if (entry := self._entry(question, known)) is not None]
        return entries[0] if self.bare_answer and len(questions) == 1 and entries else entries

    def balance(self, money: Decimal, left: int | None) -> Document:
        """Return the answer to a question about the balance: *left* parts may be sent, or any number."""
        count: str = self.unlimited if left is None else str(left)
        return balance_answer(str(money) if self.text_money else money, self.currency, {self.num_sms: count})

    def _entry(self, question: StatusQuestion, known: "InquiryContext") -> Document | None:
        sms = known.own(str(question.id_sms))
        named: Document = {"id_sms": self._written(question.id_sms)} if self.named else {}
        if sms is None:
            return None if self.unknown is None else named | status_entry(self.unknown, None)
        detail = (sms.parts, known.price) if str(question.detail) == "1" else None
        return named | status_entry(*known.scenarios.state(sms, known.now), detail)

    def _written(self, id_sms: str | int | None) -> str | int:
        text = str(id_sms)
        return int(text) if self.numeric_ids and text.isdecimal() else text


class InquiryContext(NamedTuple):
    """
    What the gateway knows when it answers.

    Attributes:
        owner: Whose question it is: an account's login.
        ledger: What was sent.
        scenarios: What becomes of it.
        now: The time.
        price: Of a part.
    """

    owner: str
    ledger: Ledger
    scenarios: DeliveryScenarios
    now: datetime
    price: Decimal

    def own(self, id_sms: str) -> Sms | None:
        sms = self.ledger.find(id_sms)
        return sms if sms is not None and sms.account == self.owner else None


class InquiryRefused(Exception):
    """A question is refused, for a reason that the gateway has a sentence for."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason
