"""Compressed answers: which are decoded, which are refused, and how much is decompressed."""

import gzip
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webcom_async import ReplyError
from webcom_async._http.exchange import decoded

BODY = b'{"information":[{"state":"send","id_sms":"1"}]}'


def packed(body: bytes) -> bytes:
    """Return *body* as gzip, without a time stamp."""
    return gzip.compress(body, mtime=0)


def bare_deflate(body: bytes) -> bytes:
    """Return *body* in the format that some servers call deflate, without zlib's header."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


@pytest.mark.parametrize(
    ("coding", "raw"),
    [
        ("", BODY),
        ("identity", BODY),
        ("gzip", packed(BODY)),
        ("x-gzip", packed(BODY)),
        (" GZip ", packed(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", bare_deflate(BODY)),
    ],
)
def test_a_whole_stream_is_read(coding: str, raw: bytes):
    """The codings of RFC 9110 are read, in any case, and deflate with its header or without."""
    assert BODY == decoded(raw, coding, len(BODY))


@pytest.mark.parametrize(
    ("coding", "raw", "words"),
    [
        ("br", BODY, "'br'"),
        ("gzip, gzip", packed(packed(BODY)), "'gzip, gzip'"),
        ("gzip", b"", "cut short"),
        ("deflate", b"", "cut short"),
        ("deflate", b"x", "cut short"),
        ("gzip", packed(BODY)[:-1], "cut short"),
        ("gzip", packed(BODY)[:20], "cut short"),
        ("gzip", BODY, "corrupt"),
        ("deflate", b"\xff" + BODY, "corrupt"),
        ("gzip", packed(BODY)[:-5] + b"?" + packed(BODY)[-4:], "corrupt"),
        ("gzip", packed(BODY) + b"\0", "after the end"),
        ("gzip", packed(BODY) + BODY, "after the end"),
        ("gzip", packed(BODY[:9]) + packed(BODY[9:]), "after the end"),
        ("deflate", zlib.compress(BODY) + b"\n", "after the end"),
        ("gzip", packed(BODY + b" "), "over 47 bytes"),
        ("", BODY + b" ", "over 47 bytes"),
    ],
)
def test_anything_else_is_no_answer(coding: str, raw: bytes, words: str):
    """An encoding that is unknown, nested, cut, corrupt, of wrong length or over the cap is no answer."""
    with pytest.raises(ReplyError, match=words):
        decoded(raw, coding, len(BODY))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@given(raw=st.binary(max_size=200))
def test_no_bytes_raise_anything_else(coding: str, raw: bytes):
    """Any bytes are decoded or refused, without another exception."""
    with suppress(ReplyError):
        decoded(raw, coding, 1_000)


def test_a_bomb_is_decompressed_to_the_cap_only():
    """To refuse 256 MiB of zeros in 256 KiB of gzip costs little more memory than the cap."""
    stream = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    zeros = bytes(1 << 20)
    bomb = b"".join(stream.compress(zeros) for _ in range(256)) + stream.flush()
    tracemalloc.start()
    try:
        with pytest.raises(ReplyError, match="over 100000 bytes"):
            decoded(bomb, "gzip", 100_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1 << 20
