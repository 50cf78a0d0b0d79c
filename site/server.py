"""Serve the built site on this machine only."""

from __future__ import annotations

import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from octavo.errors import InputError


class Handler(SimpleHTTPRequestHandler):
    """Files of one folder; the site's own page where there is none; no log line a request."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".wasm": "application/wasm",
        ".py": "text/plain; charset=utf-8",
        ".txt": "text/plain; charset=utf-8",
        ".md": "text/markdown; charset=utf-8",
        ".bib": "application/x-bibtex; charset=utf-8",
        ".jsonl": "application/jsonl",
        ".jsonld": "application/ld+json",
        ".parquet": "application/vnd.apache.parquet",
    }

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer 404 with the site's page."""
        page = Path(self.directory) / "404.html"
        if code != 404 or not page.is_file():
            super().send_error(code, message, explain)
            return
        body = page.read_bytes()
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def list_directory(self, path: object) -> None:
        """Folders are not listed."""
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def server(site: Path, port: int, host: str = "127.0.0.1") -> ThreadingHTTPServer:
    """A server of ``site``, bound and ready; port 0 takes a free one."""
    if not (site / "index.html").is_file():
        raise InputError(f"site serve: no site at {site}; run `octavo site build` first")
    try:
        return ThreadingHTTPServer((host, port), functools.partial(Handler, directory=str(site)))
    except OSError as error:
        raise InputError(
            f"site serve: port {port} cannot be taken ({error.strerror}); choose --port"
        ) from error
