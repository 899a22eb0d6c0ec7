"""A container's first process: run as root in namespaces of its own, it makes the file system that it was told of, gives
up its rights and starts the program; then it passes signals on and reaps, as the `init` of a container does.

usage: container.py SPEC.json
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_NO_NEW_PRIVS = 38
PR_CAPBSET_DROP = 24
CAPABILITIES = 41


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def root(spec: dict) -> Path:
    """The image below a layer for the places where something is mounted; only read if the container says so."""
    work = Path(spec["work"])
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "tmpfs", str(work))
    for name in ("layer", "scratch", "root"):
        (work / name).mkdir()
    layers = f"lowerdir={spec['image']},upperdir={work}/layer,workdir={work}/scratch"
    mount("-t", "overlay", "overlay", "-o", layers, str(work / "root"))
    below = work / "root"
    for name in ("etc/hosts", "etc/resolv.conf"):
        (below / name).touch()
    for one in spec["mounts"]:
        (below / one["target"].lstrip("/")).mkdir(parents=True, exist_ok=True)
    (below / "etc/hosts").write_text(Path(spec["hosts"]).read_text())
    devices(below / "dev")
    mount("-t", "proc", "proc", str(below / "proc"))
    if spec["read_only"]:
        mount("-o", "remount,ro", str(below))
    for one in sorted(spec["mounts"], key=lambda one: one["target"]):
        target = str(below / one["target"].lstrip("/"))
        if one["options"] is not None:
            mount("-t", "tmpfs", "tmpfs", "-o", f"nosuid,nodev,noexec,{one['options']}", target)
            continue
        mount("--bind", one["source"], target)
        if one["read_only"]:
            mount("-o", "remount,bind,ro", target)
    return below


def devices(folder: Path) -> None:
    for name in ("null", "zero", "random", "urandom"):
        (folder / name).touch()
        mount("--bind", f"/dev/{name}", str(folder / name))


def give_up(user: int, group: int) -> None:
    """No capability, no other user, and no way back."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(CAPABILITIES):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def main() -> int:
    spec = json.loads(Path(sys.argv[1]).read_text())
    if spec["image"]:
        ctypes.CDLL(None)  # before its file is out of reach
        os.chroot(root(spec))
    os.chdir("/")
    child = os.fork()
    if child == 0:
        give_up(spec["user"], spec["group"])
        os.execve(spec["command"][0], spec["command"], spec["environment"])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: os.kill(child, received))
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
