"""An app as its users see it: requests to the gateway, and what became of them."""

import http.client
import json
import threading
import time
import uuid
from dataclasses import dataclass
from urllib.parse import urlsplit

PASSWORD = "correct horse battery"


class App:
    """One project behind a gateway, with a person who is signed in."""

    def __init__(self, url: str, anon_key: str, service_role_key: str):
        self.address, self.anon, self.service = urlsplit(url).netloc, anon_key, service_role_key
        email = f"{uuid.uuid4()}@example.com"
        answer = self.send("POST", "/auth/v1/signup", {"email": email, "password": PASSWORD})
        self.token = json.loads(answer[1])["access_token"]

    def send(self, method: str, path: str, body: dict | None = None, token: str = "") -> tuple[int, bytes]:
        """A request on a connection of its own; its status, 0 if there was no answer, and its body."""
        headers = {"apikey": self.anon, "authorization": f"Bearer {token or self.anon}"}
        headers["content-type"] = "application/json"
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error).encode()
        finally:
            connection.close()

    def rows(self) -> tuple[int, bytes]:
        return self.send("GET", "/rest/v1/todos?select=title", token=self.token)

    def buckets(self) -> tuple[int, bytes]:
        return self.send("GET", "/storage/v1/bucket", token=self.service)

    def person(self) -> tuple[int, bytes]:
        return self.send("GET", "/auth/v1/user", token=self.token)

    #: what each service is asked for to see whether it works
    ASKS = {"auth": person, "data": rows, "storage": buckets}


@dataclass
class Answer:
    """What became of one request: its status, 0 for none, and when in seconds since the begin."""

    service: str
    status: int
    at: float
    body: bytes


class Traffic:
    """The same requests over and over beside what the test does."""

    def __init__(self, app: App, services: tuple[str, ...], threads: int = 2):
        self.app, self.services = app, services
        self.answers: list[Answer] = []
        self.is_over = False
        self.threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(threads)]

    def __enter__(self) -> "Traffic":
        self.begun = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_exception) -> None:
        self.is_over = True
        for thread in self.threads:
            thread.join()

    def _ask(self) -> None:
        while not self.is_over:
            for service in self.services:
                status, body = App.ASKS[service](self.app)
                self.answers.append(Answer(service, status, time.monotonic() - self.begun, body))

    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]
