"""Requests and answers that two parsers could read differently, written from RFC 9110, 9112 and 9113."""

from corpus.case import Case, Reply
from corpus.chunks import CHUNKS
from corpus.framing import FRAMING
from corpus.http2 import HTTP2, Http2Case
from corpus.replies import REPLIES
from corpus.routing import ROUTING
from corpus.syntax import SYNTAX

HTTP1: list[Case] = [*FRAMING, *CHUNKS, *SYNTAX, *ROUTING]

__all__ = ["Case", "HTTP1", "HTTP2", "Http2Case", "REPLIES", "Reply"]
