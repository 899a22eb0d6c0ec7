"""Sends the corpus through proxies and checks that none of it is read in two ways.

usage: smuggling.py [--binary PATH] [--peers envoy,nginx,haproxy] [--without-ours] [--only TEXT] [--table]
Exit code 1 if ours breaks the invariant, or if the naive proxy is not caught. Peers are only compared.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from pathlib import Path

import targets
import verdict
from corpus import HTTP1, HTTP2, REPLIES, Case, Http2Case, Reply, frames
from harness import BINARY, Folder, free_port
from origin import Origin
from targets import Started, Target
from verdict import Outcome
from wire import Answer, Client, Http2, answers

# how long nothing must happen until nothing will
QUIET = 0.4
# cases that also come in two and three writes: what matters there is where a line or a body ends
SPLIT_BELOW = 1_500
IN_TWO = ("ok/", "cl/", "te/", "both/", "chunk/", "line/", "upgrade/", "expect/")
IN_THREE = ("ok/", "both/", "chunk/")
# three of ours, the naive one, three peers
MOST_TARGETS = 7
# what a naive proxy must be caught at, so that a test of the tests cannot pass by accident
CAUGHT = (
    "ambiguous at the origin",
    "the proxy did not",
    "without an answer",
    "passed on as a whole",
    "reached the client",
)
_numbers = itertools.count(1)


def named(data: bytes, number: int) -> bytes:
    """The bytes of a case with paths of this run of it, so that what is processed late is not taken for another's."""
    digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    name = b"Z" + bytes(digits[number // 36**at % 36] for at in (2, 1, 0))
    return data.replace(b"/case", b"/" + name).replace(b"/smuggled", b"/" + name + b"gled")


def finals(client: Client, methods: list[bytes]) -> list[Answer]:
    """The final answers so far."""
    found = answers(client.data, methods, client.closed)
    return [answer for answer in found if answer.status >= 200 or answer.status in (0, 101)]


def path_of(answer: Answer) -> bytes | None:
    """The target that the origin saw in the request of an answer."""
    return answer.value(b"x-origin-path")


async def probe(target: Target, outcome: Outcome) -> None:
    """Asks as the next client: it must get its own answer, whatever waits on connections to the origin."""
    path = b"/probe-%d" % next(_numbers)
    for attempt in (1, 2):
        client = await target.http1.open()
        await client.send(b"GET %s HTTP/1.1\r\nHost: origin.mesh\r\n\r\n" % path)
        await client.until(lambda: any(a.whole for a in finals(client, [])), target.patience)
        got = finals(client, [])
        await client.close()
        # a connection that the origin closed at that moment is nobody's fault
        if got and got[0].status >= 500 and attempt == 1:
            continue
        if not got or path_of(got[0]) != path:
            status = got[0].status if got else "nothing"
            outcome.problems.append(f"the next client got {status} and not its answer")
        if len(got) > 1:
            outcome.problems.append("the next client got two answers")
        break
    verdict.requests(outcome, target, [one for one in target.origin.seen if one.target == path], None)


async def play(target: Target, case: Case, parts: int) -> Outcome:
    """One HTTP/1.1 case in so many writes, a marker on the same connection, and the next client."""
    target.origin.forget()
    number = next(_numbers)
    outcome, marker = Outcome(), b"/marker-%d" % number
    client = await target.http1.open()
    data = named(case.data, number)
    await client.send(data, parts)
    # the first answer may take its time, others are right behind it
    for wanted, seconds in ((1, QUIET), (case.responses, QUIET / 4)):
        await client.until(lambda: sum(a.whole for a in finals(client, case.methods)) >= wanted, seconds)
    if not client.closed:
        said = [a for a in finals(client, case.methods) if (a.value(b"connection") or b"").lower() == b"close"]
        await client.send(b"GET %s HTTP/1.1\r\nHost: origin.mesh\r\n\r\n" % marker)
        # who announced the end of the connection need not be waited for so long
        seconds = QUIET / 4 if said else QUIET
        await client.until(lambda: any(path_of(a) == marker and a.whole for a in finals(client, case.methods)), seconds)
    got = finals(client, case.methods)
    outcome.open = any(path_of(answer) == marker for answer in got)
    outcome.hangs = not client.closed and not outcome.open and not got
    await client.close()
    verdict.http1(outcome, target, case, verdict.of_this(target, outcome, data), got, marker)
    await probe(target, outcome)
    return outcome


async def play_http2(target: Target, case: Http2Case, _parts: int) -> Outcome:
    """One HTTP/2 case, a marker on another stream, and the next client."""
    target.origin.forget()
    outcome, peer, marker = Outcome(), Http2(), 100_001
    data = named(case.data, next(_numbers))
    assert target.http2
    client = await target.http2.open()

    def over(stream: int) -> bool:
        return stream in peer.reset or (stream in peer.answers and peer.answers[stream].whole)

    async def pump(streams: tuple[int, ...]) -> None:
        end = asyncio.get_running_loop().time() + QUIET
        while True:
            back = peer.feed(client.data)
            if back:
                await client.send(back)
            left = end - asyncio.get_running_loop().time()
            if peer.goaway or client.closed or left < 0 or (streams and all(map(over, streams))):
                return
            size = len(client.data)
            await client.until(lambda: len(client.data) > size, left)

    await client.send(frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0) + data)
    await pump(case.streams)
    if not client.closed and not peer.goaway:
        await client.send(frames.head(marker, frames.request(b"/marker"), end=True))
        await pump((marker,))
    await client.close()
    verdict.http2(outcome, target, case, verdict.of_this(target, outcome, data), peer, marker)
    await probe(target, outcome)
    return outcome


async def play_reply(target: Target, case: Reply, _parts: int) -> Outcome:
    """One wrong answer, then a marker on the same connection, and the next two clients."""
    target.origin.forget()
    outcome, path, methods = Outcome(), b"/reply-%d" % next(_numbers), [case.method]
    target.origin.replies = {path: case}
    client = await target.http1.open()
    head = b"%s %s HTTP/1.1\r\nHost: origin.mesh\r\n%s\r\n" % (case.method, path, case.headers)
    await client.send(head + case.body)
    await client.until(lambda: any(a.whole for a in finals(client, methods)), 2 * QUIET)
    # what comes late must have arrived at the proxy before the next request does
    for _ in range(100):
        if path in target.origin.answered:
            break
        await asyncio.sleep(0.01)
    if any(isinstance(piece, float) for piece in case.pieces):
        await asyncio.sleep(0.05)
    if not client.closed:
        await client.send(b"GET /marker HTTP/1.1\r\nHost: origin.mesh\r\n\r\n")
        await client.until(lambda: len([a for a in finals(client, methods) if a.whole]) >= 2, QUIET)
    await client.until(lambda: False, 0.02)
    got = finals(client, methods)
    outcome.open = len(got) > 1
    await client.close()
    verdict.reply(outcome, target, case, list(target.origin.seen), client.data, got)
    await probe(target, outcome)
    await probe(target, outcome)
    return outcome


def writes(case: Case | Http2Case | Reply) -> list[int]:
    """In how many writes a case is sent, one number after the other."""
    if not isinstance(case, Case) or len(case.data) > SPLIT_BELOW:
        return [1]
    return [1] + [2] * case.name.startswith(IN_TWO) + [3] * case.name.startswith(IN_THREE)


async def run_all(target: Target, only: str, found: dict[str, dict[str, Outcome]]) -> None:
    """Every case at one target; outcomes by name of the case, then of the target."""
    begun = asyncio.get_running_loop().time()
    for cases, player in ((HTTP1, play), (HTTP2, play_http2), (REPLIES, play_reply)):
        for case in cases:
            if only not in case.name or (player is play_http2 and target.http2 is None):
                continue
            name = f"reply/{case.name}" if isinstance(case, Reply) else case.name
            if target.only and not name.startswith(target.only):
                continue
            for parts in [1] if target.only else writes(case):
                outcome = await player(target, case, parts)  # type: ignore[operator]
                found.setdefault(name if parts == 1 else f"{name} in {parts}", {})[target.name] = outcome
    print(f"      {target.name}: {asyncio.get_running_loop().time() - begun:.0f} s", flush=True)


def start(arguments: argparse.Namespace, folder: Path, origins: list[Origin]) -> Started:
    """Starts what was asked for, each proxy before an origin of its own."""
    left = iter(origins)
    chosen, running = targets.naive(folder, left)
    wanted = [targets.PEERS[name] for name in filter(None, arguments.peers.split(","))]
    try:
        if not arguments.without_ours:
            some, processes = targets.ours(arguments.binary, folder, left)
            chosen, running = some + chosen, running + processes
        for begin in wanted:
            some, processes = begin(folder, left)
            chosen, running = chosen + some, running + processes
    except Exception:
        for process in running:
            process.stop()
        raise
    return chosen, running


def report(found: dict[str, dict[str, Outcome]], chosen: list[Target], table: bool, whole: bool) -> int:
    """Prints what there is to know; the exit code. Only the whole corpus must catch the naive proxy."""
    names = [target.name for target in chosen]
    order = {name: number for number, name in enumerate(case.name for case in [*HTTP1, *HTTP2, *REPLIES])}
    found = dict(sorted(found.items(), key=lambda row: order.get(row[0].removeprefix("reply/").split(" in ")[0], 0)))
    if table:
        print("case".ljust(44) + "".join(name.ljust(20) for name in names))
        for case, row in found.items():
            cells = (row[name].cell() if name in row else "" for name in names)
            print(case[:43].ljust(44) + "".join(cell[:19].ljust(20) for cell in cells))
    failed = 0
    for target in chosen:
        rows = [(case, row[target.name]) for case, row in found.items() if target.name in row]
        bad = [(case, outcome) for case, outcome in rows if outcome.problems]
        lax = [(case, outcome) for case, outcome in rows if outcome.lax and not outcome.problems]
        if target.name == "naive":
            said = {problem for _, outcome in bad for problem in outcome.problems}
            unseen = [kind for kind in CAUGHT if not any(kind in problem for problem in said)]
            failed += bool(unseen) and whole
            word = "FAIL " if unseen and whole else "ok   "
            never = f", but never for: {unseen}" if unseen and whole else ""
            print(f"{word} smuggling: the naive proxy is caught in {len(bad)} of {len(rows)}{never}")
            continue
        for case, outcome in bad:
            why = "; ".join(outcome.problems[:3])[:300]
            print(f"{'FAIL ' if target.ours else 'peer '} {target.name}: {case}: {why}")
        if table:
            for case, outcome in lax:
                print(f"lax   {target.name}: {case}: {'; '.join(outcome.lax)}")
        failed += bool(bad) and target.ours
        word = "peer " if not target.ours else "FAIL " if bad else "ok   "
        desync = sum(outcome.desync for _, outcome in bad)
        counts = f"{len(bad)} break the invariant ({desync} by a desync), {len(lax)} are lax"
        print(f"{word} smuggling: {target.name}: {len(rows)} cases, {counts}")
    return 1 if failed else 0


async def amain(arguments: argparse.Namespace) -> int:
    """Starts everything, runs everything, stops everything."""
    origins = [await Origin.listen(free_port()) for _ in range(MOST_TARGETS)]
    found: dict[str, dict[str, Outcome]] = {}
    with Folder() as folder:
        # waiting for a proxy must not keep an origin from answering it
        chosen, running = await asyncio.to_thread(start, arguments, folder, origins)
        try:
            await asyncio.gather(*(run_all(target, arguments.only, found) for target in chosen))
        finally:
            for process in running:
                process.stop()
    return report(found, chosen, arguments.table or bool(arguments.peers), not arguments.only)


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, default=BINARY)
    parser.add_argument("--peers", default="")
    parser.add_argument("--without-ours", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--table", action="store_true")
    return asyncio.run(amain(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
