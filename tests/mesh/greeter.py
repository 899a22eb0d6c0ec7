"""A service that knows nothing of the mesh: it listens, and calls others through `http_proxy` as any program would.

usage: greeter.py PORT
"""

import http.server
import json
import signal
import socketserver
import sys
import threading
import time
import urllib.parse
import urllib.request

served = {"requests": 0}


class Handler(http.server.BaseHTTPRequestHandler):
    """Tells what it was asked."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Any method."""
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/readyz":
            self.tell(200, {})
            return
        served["requests"] += 1
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if url.path == "/public/call":
            with urllib.request.urlopen(query["url"], timeout=10) as answer:
                self.tell(200, {"status": answer.status, "body": answer.read().decode()})
            return
        time.sleep(float(query.get("sleep", 0)))
        headers = [[name.lower(), value] for name, value in self.headers.items()]
        seen = {"method": self.command, "path": self.path, "headers": headers, "bytes": len(body), **served}
        self.tell(int(query.get("status", 200)), seen)

    def tell(self, status: int, value: object) -> None:
        """Answers with JSON."""
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_CONNECT = answer

    def log_message(self, *_words: object) -> None:
        """Says nothing."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """One thread for each connection; the end waits for none but those that answer."""

    daemon_threads = True


def main() -> None:
    """Serves until SIGTERM."""
    server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    print("the program ended as it was asked to", file=sys.stderr)


if __name__ == "__main__":
    main()
