"""The transport against a real server on 127.0.0.1 that misbehaves in every known way."""

from __future__ import annotations

import gzip
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from octavo.errors import InputError
from octavo.ingest.transport import Client

Handler = Callable[[socketserver.StreamRequestHandler, str], None]


@dataclass
class Server:
    """Raw answers by path, and a record of what was asked."""

    port: int
    routes: dict[str, Handler] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def says(self, path: str, *answers: bytes) -> str:
        """Answer with the given raw bytes, one after another, the last one for ever."""
        left = list(answers)

        def reply(request: socketserver.StreamRequestHandler, _: str) -> None:
            request.wfile.write(left.pop(0) if len(left) > 1 else left[0])

        self.routes[path] = reply
        return self.url(path)


@pytest.fixture
def server() -> Iterator[Server]:
    class Reply(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            path = self.rfile.readline().decode().split()[1]
            lines = list(iter(lambda: self.rfile.readline().decode().strip(), ""))
            state.asked.append(path)
            state.headers.append("\n".join(lines))
            state.routes[path](self, path)

    class Threaded(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            return  # a client that hung up is what some tests are about

    with Threaded(("127.0.0.1", 0), Reply) as threaded:
        state = Server(threaded.server_address[1])
        threading.Thread(target=threaded.serve_forever, args=(0.02,), daemon=True).start()
        yield state
        threaded.shutdown()


@dataclass
class Clock:
    """Time that passes only by sleeping."""

    seconds: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(clock: Clock) -> Client:
    return Client(allow_private=True, deadline=10, clock=clock.now, sleep=clock.sleep)


def answer(body: bytes, *lines: str, status: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = [f"HTTP/1.1 {status}", f"Content-Length: {size}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


def test_a_whole_body_arrives(server: Server, client: Client) -> None:
    url = server.says("/", answer(b"hello", 'ETag: "1"', "Last-Modified: then"))
    got = client.get(url, etag='"0"', modified="before")
    assert (got.body, got.etag, got.modified) == (b"hello", '"1"', "then")
    assert 'If-None-Match: "0"' in server.headers[0]
    assert "If-Modified-Since: before" in server.headers[0]
    assert "User-Agent: octavo/" in server.headers[0]


def test_not_modified_is_an_answer(server: Server, client: Client) -> None:
    url = server.says("/", b"HTTP/1.1 304 Not Modified\r\n\r\n")
    assert client.get(url, etag='"1"').status == 304


def test_a_cut_body_is_tried_again(server: Server, client: Client, clock: Clock) -> None:
    url = server.says("/", answer(b"half", length=8), answer(b"whole"))
    assert client.get(url).body == b"whole"
    assert clock.slept == [1.0]


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
PACKED = gzip.compress(b"some text " * 1000)
DAMAGED = PACKED[:-6] + bytes([PACKED[-6] ^ 255]) + PACKED[-5:]


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"half", length=8),
        CHUNKED,
        CHUNKED + b"5\r\nwo",
        answer(PACKED[: len(PACKED) // 2], "Content-Encoding: gzip"),
        answer(PACKED[:-4], "Content-Encoding: gzip"),
        answer(DAMAGED, "Content-Encoding: gzip"),
        b"",
    ],
    ids=["length", "chunks", "half chunk", "half gzip", "no trailer", "bad checksum", "nothing"],
)
def test_what_stays_cut_is_an_error(server: Server, client: Client, raw: bytes) -> None:
    url = server.says("/", raw)
    with pytest.raises(InputError, match="5 tries") as caught:
        client.get(url)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == 5


@pytest.mark.parametrize("name", ["gzip", "x-gzip", "GZIP"])
def test_gzip_is_undone(server: Server, client: Client, name: str) -> None:
    two = gzip.compress(b"one ") + gzip.compress(b"two")
    url = server.says("/", answer(two, f"Content-Encoding: {name}"))
    assert client.get(url).body == b"one two"


def test_chunks_are_joined(server: Server, client: Client) -> None:
    assert client.get(server.says("/", CHUNKED + b"0\r\n\r\n")).body == b"hello"


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd"])
def test_an_encoding_not_asked_for_is_refused(
    server: Server, client: Client, encoding: str
) -> None:
    url = server.says("/", answer(b"?", f"Content-Encoding: {encoding}"))
    with pytest.raises(InputError, match="content encoding"):
        client.get(url)


def test_a_bomb_stops_at_the_cap(server: Server) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    url = server.says("/", answer(bomb, "Content-Encoding: gzip"))
    with pytest.raises(InputError, match="larger than 100000 bytes"):
        Client(allow_private=True, cap=100_000).get(url)


def test_an_endless_body_stops_at_the_cap(server: Server) -> None:
    def flood(request: socketserver.StreamRequestHandler, _: str) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            request.wfile.write(bytes(65536))

    server.routes["/"] = flood
    with pytest.raises(InputError, match="larger than"):
        Client(allow_private=True, cap=1_000_000).get(server.url("/"))


def silent(request: socketserver.StreamRequestHandler, _: str) -> None:
    request.rfile.read(1)  # returns when the client hangs up


def dripping(head: bytes) -> Handler:
    def drip(request: socketserver.StreamRequestHandler, _: str) -> None:
        request.wfile.write(head)
        while True:
            request.wfile.write(b"x")
            time.sleep(0.05)

    return drip


@pytest.mark.parametrize(
    "handler",
    [
        silent,
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\n\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nX-Long: "),
    ],
    ids=["silent", "body", "body without length", "header"],
)
def test_the_deadline_is_total(server: Server, handler: Handler) -> None:
    server.routes["/"] = handler
    with pytest.raises(InputError, match=r"within 0\.4 s"):
        Client(allow_private=True, deadline=0.4).get(server.url("/"))
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        ("Retry-After: 7", 7.0),
        ("Retry-After: Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
        ("Retry-After: Thu, 01 Jan 1970 00:00:30 GMT", 0.0),
        ("Retry-After: -3", 1.0),
        ("Retry-After: tomorrow", 1.0),
        ("X-Nothing: 1", 1.0),
    ],
)
def test_retry_after_is_obeyed(
    server: Server, clock: Clock, status: str, asked: str, waited: float
) -> None:
    url = server.says("/", answer(b"", asked, status=status), answer(b"now"))
    client = Client(
        allow_private=True,
        clock=clock.now,
        sleep=clock.sleep,
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert client.get(url).body == b"now"
    assert clock.slept == [waited]


def test_a_long_wait_is_declined(server: Server, client: Client, clock: Clock) -> None:
    url = server.says("/", answer(b"", "Retry-After: 10000", status="429 Slow Down"))
    with pytest.raises(InputError, match="asks to wait 10000 s"):
        client.get(url)
    assert (clock.slept, len(server.asked)) == ([], 1)


def test_back_off_doubles_and_ends(server: Server, client: Client, clock: Clock) -> None:
    with pytest.raises(InputError, match=r"answered 500 \(5 tries\)"):
        client.get(server.says("/", answer(b"", status="500 Oops")))
    assert clock.slept == [1.0, 2.0, 4.0, 8.0]


def test_what_will_not_change_is_not_asked_twice(server: Server, client: Client) -> None:
    with pytest.raises(InputError, match="answered 404"):
        client.get(server.says("/", answer(b"", status="404 Not Found")))
    assert len(server.asked) == 1


def redirect(target: str) -> bytes:
    return answer(b"", f"Location: {target}", status="302 Found")


def test_redirects_are_followed(server: Server, client: Client) -> None:
    server.says("/end", answer(b"here"))
    got = client.get(server.says("/", redirect("/end")))
    assert (got.body, got.url) == (b"here", server.url("/end"))


def test_a_loop_of_redirects_ends(server: Server, client: Client) -> None:
    with pytest.raises(InputError, match="more than 10 redirects"):
        client.get(server.says("/", redirect("/")))


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.org/", "gopher://x/"])
def test_a_redirect_out_of_the_web_is_refused(server: Server, client: Client, target: str) -> None:
    with pytest.raises(InputError, match="only http"):
        client.get(server.says("/", redirect(target)))


PRIVATE = [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "0x7f000001",
    "2130706433",
    "0.0.0.0",
    "169.254.169.254",
    "10.0.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "[fe80::1]",
    "[fd00::1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "224.0.0.1",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_refused(server: Server, host: str) -> None:
    server.says("/", answer(b"secret"))
    with pytest.raises(InputError, match=r"private address|no address|tries") as caught:
        Client(sleep=lambda _: None, tries=1).get(f"http://{host}:{server.port}/")
    assert server.asked == []
    assert "\n" not in str(caught.value)


def test_each_redirect_is_checked_after_its_name_is_resolved(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from octavo.ingest import addresses

    inner = server.says("/secret", answer(b"secret"))
    outer = server.says("/", redirect(inner.replace("127.0.0.1", "inner.example")))
    real = addresses.resolve

    def names(host: str, port: int, seconds: float) -> list[str]:
        return ["127.0.0.1"] if host == "inner.example" else real(host, port, seconds)

    monkeypatch.setattr(addresses, "resolve", names)
    monkeypatch.setattr(
        addresses, "public", lambda address: server.asked == [] and address.is_loopback
    )
    with pytest.raises(InputError, match=r"inner\.example is the private address"):
        Client(sleep=lambda _: None).get(outer)
    assert server.asked == ["/"]


def test_arxiv_hosts_share_one_request_in_three_seconds(clock: Clock) -> None:
    client = Client(clock=clock.now, sleep=clock.sleep)
    for host in ["arxiv.org", "export.arxiv.org", "rss.arxiv.org", "example.org"]:
        client._keep_distance(host)
        clock.seconds += 1
    assert clock.slept == [2.0, 2.0]


@pytest.mark.parametrize("step", [-86_400.0, 3e8])
def test_no_wait_is_longer_than_the_interval(clock: Clock, step: float) -> None:
    client = Client(clock=clock.now, sleep=clock.sleep)
    client._keep_distance("arxiv.org")
    clock.seconds += step
    client._keep_distance("arxiv.org")
    assert sum(clock.slept) <= 3.0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "paper.xml",
        "http://",
        "http:///x",
        "http://a b/",
        "file:///etc/passwd",
        "http://host:99999/",
        "http://[::1",
        "http://x/\r\nHost: y",
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="not a web address"):
        Client().get(url)
