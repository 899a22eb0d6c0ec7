"""What is wrong with what came of a case: the invariant, and what is merely lax.

The invariant: the origin processed exactly the requests that the proxy understood and answered, in a form with one
reading; or the proxy refused. Nobody gets the answer to somebody else's request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from corpus import Case, Http2Case, Reply
from corpus.case import ACCEPT, REJECT
from origin import Seen
from targets import Target
from wire import Answer, Http2

# what is still to come of these does not come
WAITS = (
    "cl/wraps-32-bits",
    "cl/signed-64-bits",
    "chunk/size-all-ones",
    "chunk/size-wraps-32-bits",
    "chunk/ends-in-data",
)
REFUSALS = (400, 408, 413, 414, 431, 501, 505)


@dataclass
class Outcome:
    """What came of one case at one target."""

    # the invariant is broken
    problems: list[str] = field(default_factory=list)
    # safe, but not what the specification asks for
    lax: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    open: bool = False
    # nothing came of it at all, not even an end
    hangs: bool = False

    @property
    def desync(self) -> bool:
        """Whether proxy and origin, or proxy and client, did not count the same messages."""
        unclean = ("ambiguous", "malformed", "legitimate", "b'", 'b"')
        return any(not problem.startswith(unclean) for problem in self.problems)

    def cell(self) -> str:
        """A few characters for a table: answers, what became of the connection, and a mark for trouble."""
        shown = ",".join(map(str, self.statuses[:3])) + ("…" if len(self.statuses) > 3 else "")
        text = f"{shown or '-'} {'open' if self.open else 'hangs' if self.hangs else 'closed'}"
        return f"BAD {text}" if self.problems else f"lax {text}" if self.lax else text


def of_this(target: Target, outcome: Outcome, data: bytes) -> list[Seen]:
    """What the origin saw of this case. What it saw late of earlier ones is only held to the marks."""
    mine, late = [], []
    for one in target.origin.seen:
        name = re.search(rb"/(Z[0-9A-Z]{3})", one.target)
        (late if name and name[1] not in data else mine).append(one)
    requests(outcome, target, late, None)
    return mine


def requests(outcome: Outcome, target: Target, seen: list[Seen], case: Case | Http2Case | None) -> None:
    """Holds what reached the origin to the invariant."""
    for one in seen:
        what = f"{one.method[:20].decode('latin-1')} {one.target[:40].decode('latin-1')}"
        for odd in dict.fromkeys(one.odd):
            outcome.problems.append(f"ambiguous at the origin: {odd}")
        for name, value in target.marks.items():
            if one.headers and one.values(name) != [value]:
                outcome.problems.append(f"the origin saw a request that the proxy did not: {what}")
                break
        if case is None:
            continue
        text = one.raw.lower()
        forbidden = case.forbid + (case.ours_forbid if target.ours else ())
        outcome.problems += [f"{word!r} reached the origin" for word in forbidden if word in text]


def http1(outcome: Outcome, target: Target, case: Case, seen: list[Seen], finals: list[Answer], marker: bytes) -> None:
    """Judges one HTTP/1.1 connection."""
    requests(outcome, target, seen, case)
    own = [answer.status for answer in finals if answer.id is None]
    answered = [answer.id for answer in finals if answer.id is not None]
    complete = [one for one in seen if one.complete]
    outcome.statuses = [answer.status for answer in finals if answer.value(b"x-origin-path") != marker]
    for answer in finals:
        outcome.problems += [f"malformed answer: {odd}" for odd in answer.odd]
    _pairing(outcome, answered, complete, [one.id for one in seen])
    if case.framing and outcome.open and any(status in REFUSALS for status in own):
        outcome.problems.append("refused, but the connection goes on")
    if any(status >= 500 and status not in (501, 505) for status in own):
        outcome.lax.append(f"{max(own)} for a bad request")
    others = [answer for answer in finals if answer.id is not None and answer.value(b"x-origin-path") != marker]
    if case.expect == ACCEPT and len(others) != case.responses:
        outcome.problems.append(f"legitimate, and {len(others)} of {case.responses} were answered by the origin")
    if case.expect == REJECT and others:
        outcome.lax.append("should be refused; was forwarded in a form with one reading")
    if outcome.hangs and case.name not in WAITS:
        outcome.lax.append("neither answered nor closed")
    if case.must_close and outcome.open:
        outcome.lax.append("the connection goes on (RFC 9112 §6.1, §9.6)")


def _pairing(outcome: Outcome, answered: list[int], complete: list[Seen], known: list[int]) -> None:
    """One answer for each request, and the right one."""
    if len(set(answered)) != len(answered):
        outcome.problems.append("one answer came twice")
    if any(one not in known for one in answered):
        outcome.problems.append("the answer to another request came")
    if answered != sorted(answered, key=lambda one: one or 0):
        outcome.problems.append("answers in another order")
    missing = [one for one in complete if one.id not in answered]
    if missing:
        what = ", ".join(f"{one.method[:20].decode('latin-1')} {one.target[:40].decode('latin-1')}" for one in missing)
        outcome.problems.append(f"processed by the origin without an answer to the client: {what}")


def http2(outcome: Outcome, target: Target, case: Http2Case, seen: list[Seen], peer: Http2, marker: int) -> None:
    """Judges one HTTP/2 connection."""
    requests(outcome, target, seen, case)
    known = [one.id for one in seen]
    answers = {stream: answer for stream, answer in peer.answers.items() if stream != marker}
    outcome.statuses = [answer.status for answer in answers.values()]
    outcome.open = marker in peer.answers and peer.answers[marker].whole
    complete = sum(one.complete for one in seen) - outcome.open
    # a flood asks for more than it counts
    if case.streams and complete > len(case.streams):
        outcome.problems.append(f"{complete} requests at the origin for {len(case.streams)}")
    if any(answer.id is not None and answer.id not in known for answer in peer.answers.values()):
        outcome.problems.append("the answer to another request came")
    if outcome.open and peer.answers[marker].value(b"x-origin-path") != b"/marker":
        outcome.problems.append("the answer to another request came")
    whole = [answer for answer in answers.values() if answer.id is not None and answer.whole]
    if case.expect == ACCEPT and len(whole) != len(case.streams):
        outcome.problems.append("legitimate, and not answered by the origin")
    if case.expect == REJECT and whole:
        outcome.lax.append("should be refused; was forwarded in a form with one reading")


def reply(outcome: Outcome, target: Target, case: Reply, seen: list[Seen], data: bytes, finals: list[Answer]) -> None:
    """Judges what a client made of a wrong answer: `finals` are the answers to the case and to the marker."""
    requests(outcome, target, seen, None)
    outcome.statuses = [answer.status for answer in finals[:1]]
    outcome.problems += [f"{word!r} reached the client" for word in case.forbid if word in data.lower()]
    for answer in finals:
        outcome.problems += [f"malformed answer: {odd}" for odd in answer.odd]
    first = finals[0] if finals else None
    if case.statuses and (first is None or first.status not in case.statuses):
        outcome.problems.append(f"{first and first.status} instead of {case.statuses}")
    if first and first.id is not None and first.whole and not case.whole:
        outcome.problems.append("a cut answer was passed on as a whole one")
    if first and first.status == 101:
        outcome.problems.append("a change of protocol that nobody asked for")
    if len(finals) > 2:
        outcome.problems.append(f"{len(finals)} answers to 2 requests")
    if len(finals) == 2 and finals[1].status < 500 and finals[1].value(b"x-origin-path") != b"/marker":
        outcome.problems.append("the next request got another answer")

