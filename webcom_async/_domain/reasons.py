"""Why a recipient was rejected, is unknown or was not sent."""

import enum

__all__ = ["Reason"]


class Reason(enum.StrEnum):
    """Why a recipient was rejected, is unknown or was not sent."""

    NONE = "none"  #: nothing is wrong

    # The gateway refused the whole request.
    BAD_DOCUMENT = "bad_document"  #: it could not read the JSON
    ACCOUNT_LOCKED = "account_locked"  #: the account is locked
    BAD_LOGIN = "bad_login"  #: wrong token, login or password
    NO_POST_DATA = "no_post_data"  #: the body did not arrive

    # The gateway refused one recipient or one message.
    PROVIDER_OUT_OF_SMS = "provider_out_of_sms"  #: the provider itself has run out
    OUT_OF_SMS = "out_of_sms"  #: the account has run out
    ACCOUNT_BLOCKED = "account_blocked"  #: the account is blocked
    NO_PHONE = "no_phone"  #: the phone is missing
    STOP_LIST = "stop_list"  #: the phone is on the stop list
    DESTINATION_CLOSED_FOR_YOU = "destination_closed_for_you"  #: your account may not send there
    DESTINATION_CLOSED = "destination_closed"  #: no account may send there
    TEXT_REJECTED = "text_rejected"  #: a moderator rejected the text
    NO_SENDER = "no_sender"  #: the sender is missing
    SENDER_TOO_LONG = "sender_too_long"  #: over 11 characters, or 15 digits
    PHONE_TOO_LONG = "phone_too_long"  #: 15 characters or more
    NO_TEXT = "no_text"  #: the text is missing
    NO_LINK = "no_link"  #: a WAP-Push without its link
    NO_CONTACT = "no_contact"  #: a business card without name or details
    UNKNOWN_SENDER = "unknown_sender"  #: the sender is not registered
    SENDER_NOT_MODERATED = "sender_not_moderated"  #: the sender waits for moderation
    HELD_FOR_FUNDS = "held_for_funds"  #: accepted, and sent once the account is topped up (sibling platforms)
    ALREADY_SENT = "already_sent"  #: this id was used before (sibling platforms)
    TOO_LARGE = "too_large"  #: the request is too large for the gateway, even with this recipient alone
    OTHER = "other"  #: a sentence of the gateway that the library does not know; see `SendResult.error`

    # Found here: the recipient was never sent.
    BAD_RECIPIENT = "bad_recipient"  #: the source yielded something other than a recipient
    BAD_PHONE = "bad_phone"  #: not a phone number
    UNLIKE_PHONE = "unlike_phone"  #: a phone that is unlike the others of its file
    BAD_CLIENT_ID = "bad_client_id"  #: `client_id_sms` is not a positive number of at most 63 bits
    BAD_SENDER = "bad_sender"  #: the sender cannot be put on the wire
    BAD_TEXT = "bad_text"  #: the text cannot be put on the wire
    TOO_MANY_PARTS = "too_many_parts"  #: the text takes more SMS than `max_parts`
    BAD_TIME = "bad_time"  #: a time that is naive, past or out of range
    DUPLICATE = "duplicate"  #: the same id is in a request that has not been answered yet
    ID_REUSED = "id_reused"  #: this id belongs to another phone or message
    HALTED = "halted"  #: the campaign halted before
    CANCELLED = "cancelled"  #: the caller left before

    # Unknown: what came between the request and its answer.
    NOT_REACHED = "not_reached"  #: no connection
    CONNECTION_LOST = "connection_lost"  #: the connection broke before the answer was whole
    TIMEOUT = "timeout"  #: no whole answer in time
    BUSY = "busy"  #: the gateway asked to come back later, or failed
    BAD_REPLY = "bad_reply"  #: the answer cannot be paired with the recipients
    REPEATED_ID_SMS = "repeated_id_sms"  #: its `id_sms` is another recipient's too: one of them got nothing
