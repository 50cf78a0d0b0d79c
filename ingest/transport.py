"""One way out to the network for every source: bounded in time and size, polite, suspicious.

What it promises, because the usual clients do not: a request ends within its deadline even when
the server sends a byte a second; a body is whole or an error; no more than `cap` bytes are ever
held, however small they were on the wire; private addresses are refused at each hop.
"""

from __future__ import annotations

import email.utils
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import SplitResult, urljoin, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from octavo.errors import InputError
from octavo.ingest.addresses import DialError, dial
from octavo.ingest.decoding import TransientError, decoded

USER_AGENT = "octavo/0.1 (a reader of paper feeds)"
MEBIBYTE = 1024 * 1024
REDIRECTS = {301, 302, 303, 307, 308}
BUSY = {429, 500, 502, 503, 504}
NETWORK_ERRORS = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException)
TIMEOUTS = (TimeoutError, urllib3.exceptions.TimeoutError)
ARXIV_SECONDS = 3.0  # arXiv's terms of use: one request every three seconds, one connection


class UnreachableError(InputError):
    """No connection could be made: the host is down, or this machine is offline."""


@dataclass(frozen=True)
class Answer:
    """What a server said: the last url of the redirects, and the decoded body (empty on 304)."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def etag(self) -> str | None:
        """The validator to send along next time."""
        return self.headers.get("etag")

    @property
    def modified(self) -> str | None:
        """The date to send along next time."""
        return self.headers.get("last-modified")


@dataclass
class Client:
    """Fetches pages. Seconds are `clock` seconds; `clock` must never step back (monotonic)."""

    allow_private: bool = False
    deadline: float = 60.0  # for one attempt, from name look-up to the last byte
    cap: int = 15 * MEBIBYTE  # of decoded bytes; the bound Miniflux uses for a feed
    tries: int = 5
    longest_wait: float = 300.0  # a server that asks for more is left alone
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))  # Retry-After dates
    intervals: Mapping[str, float] = field(default_factory=lambda: {"arxiv.org": ARXIV_SECONDS})
    _last: dict[str, float] = field(default_factory=dict, repr=False)

    def get(
        self, url: str, *, etag: str | None = None, modified: str | None = None, tries: int = 0
    ) -> Answer:
        """Fetch a page, following redirects and trying again where that may help.

        Raises InputError (one line, with the url) for anything but 2xx and 304.
        """
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip", "Connection": "close"}
        if etag:
            headers["If-None-Match"] = etag
        if modified:
            headers["If-Modified-Since"] = modified
        attempts = tries or self.tries
        for attempt in range(1, attempts + 1):
            try:
                return self._follow(url, headers)
            except TransientError as failure:
                if attempt == attempts:
                    kind = UnreachableError if failure.unreachable else InputError
                    raise kind(f"{url}: {failure} ({attempts} tries)") from None
                self._pause(url, failure, attempt)
        raise AssertionError("unreachable")

    def _pause(self, url: str, failure: TransientError, attempt: int) -> None:
        wait = float(2 ** (attempt - 1)) if failure.wait is None else failure.wait
        if wait > self.longest_wait:
            raise InputError(
                f"{url}: {failure}, and the server asks to wait {wait:.0f} s "
                f"(at most {self.longest_wait:.0f} s are waited); run again later"
            )
        self.sleep(wait)

    def _follow(self, url: str, headers: Mapping[str, str]) -> Answer:
        here = url
        for _ in range(10):
            answer = self._once(here, headers)
            if answer.status not in REDIRECTS:
                return self._judge(url, answer)
            target = urljoin(here, answer.headers.get("location", ""))
            if urlsplit(here).scheme == "https" and urlsplit(target).scheme != "https":
                raise InputError(f"{url}: redirected from https to {target}; refused")
            here = target
        raise InputError(f"{url}: more than 10 redirects; refused")

    def _judge(self, url: str, answer: Answer) -> Answer:
        if answer.status in BUSY:
            wait = retry_after(answer.headers.get("retry-after"), self.now())
            raise TransientError(f"the server answered {answer.status}", wait)
        if answer.status == 304 or 200 <= answer.status < 300:
            return answer
        raise InputError(f"{url}: the server answered {answer.status}; check the address")

    def _once(self, url: str, headers: Mapping[str, str]) -> Answer:
        parts = _web_address(url)
        self._keep_distance(parts.hostname or "")
        connection = _connection(parts, self.deadline, self.allow_private)
        with _by_deadline(connection, self.deadline) as late:
            try:
                answer = self._exchange(url, parts, connection, headers)
            except NETWORK_ERRORS as error:
                if late.is_set() or isinstance(error, TIMEOUTS):
                    raise self._too_late(url) from None
                if isinstance(error, ssl.SSLCertVerificationError):
                    raise InputError(f"{url}: {error.verify_message}; refused") from None
                unreachable = isinstance(error, DialError)
                raise TransientError(_plain(error), unreachable=unreachable) from None
            if late.is_set():  # cut where the body has no length, so it only looks whole
                raise self._too_late(url)
            return answer

    def _too_late(self, url: str) -> InputError:
        return InputError(f"{url}: no whole answer within {self.deadline:g} s; given up")

    def _exchange(
        self,
        url: str,
        parts: SplitResult,
        connection: HTTPConnection,
        headers: Mapping[str, str],
    ) -> Answer:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers=headers, preload_content=False)
        response = connection.getresponse()
        known = {name.lower(): value for name, value in response.headers.items()}
        if response.status in REDIRECTS or response.status in BUSY or response.status == 304:
            return Answer(url, response.status, known, b"")
        chunks = iter(lambda: response.read1(65536, decode_content=False), b"")
        body = decoded(chunks, known.get("content-encoding", ""), self.cap, url)
        return Answer(url, response.status, known, body)

    def _keep_distance(self, host: str) -> None:
        for name, seconds in self.intervals.items():
            if host == name or host.endswith("." + name):
                ready = self._last.get(name, self.clock() - seconds) + seconds
                wait = min(max(ready - self.clock(), 0.0), seconds)
                if wait:
                    self.sleep(wait)
                self._last[name] = self.clock()


class _Dialer:
    """Puts the checked dialling under urllib3's connections, and keeps a hand on the socket."""

    host: str
    port: int
    seconds: float
    allow_private: bool
    hand: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        made = dial(self.host, self.port, self.seconds, allow_private=self.allow_private)
        self.hand = made.dup()  # outlives the wrapping into TLS, so a late answer can be cut
        return made


class _Plain(_Dialer, HTTPConnection):
    pass


class _Secure(_Dialer, HTTPSConnection):
    pass


def _connection(parts: SplitResult, seconds: float, allow_private: bool) -> _Plain | _Secure:
    kind = _Secure if parts.scheme == "https" else _Plain
    port = parts.port or (443 if parts.scheme == "https" else 80)
    connection = kind(parts.hostname or "", port, timeout=seconds)
    connection.seconds, connection.allow_private = seconds, allow_private
    return connection


@contextmanager
def _by_deadline(connection: _Plain | _Secure, seconds: float) -> Iterator[threading.Event]:
    """Cut the connection when its time is over, wherever it stands. The event says it was cut."""
    late = threading.Event()

    def cut() -> None:
        late.set()
        if connection.hand is not None:
            with suppress(OSError):
                connection.hand.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        connection.close()
        if connection.hand is not None:
            connection.hand.close()


def _web_address(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(c.isspace() or ord(c) < 32 for c in url):
        raise InputError(f"{url}: not a web address; only http:// and https:// are fetched")
    return parts


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds a server asks us to wait, from a number or an HTTP date; None if it says nothing.

    >>> retry_after("7", datetime(2026, 1, 1, tzinfo=UTC))
    7.0
    >>> retry_after("Thu, 01 Jan 2026 00:01:00 GMT", datetime(2026, 1, 1, tzinfo=UTC))
    60.0
    >>> retry_after("soon", datetime(2026, 1, 1, tzinfo=UTC)) is None
    True
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max((when - now).total_seconds(), 0.0)


def _plain(error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.IncompleteRead | http.client.IncompleteRead):
        return "the body ends early"
    return " ".join(str(error).split()) or type(error).__name__
