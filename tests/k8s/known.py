"""What the binary knows, read in its sources: the variables of each role, and the files that `meshbase init` writes."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICE = "src/roles.rs"
# where the flags of each role are
SOURCES = {
    "sidecar": ["src/cli/sidecar.rs", "src/cli/sidecar"],
    "control": ["control/src"],
    "gateway": [SERVICE, "gateway/src"],
    "platform": [SERVICE, "src/platform_role.rs"],
    "auth": [SERVICE, "services/auth/src"],
    "data": [SERVICE, "services/data/src"],
    "storage": [SERVICE, "services/storage/src"],
}
EVERY_ROLE = "src/cli/mod.rs"
FLAG = re.compile(r'\benv\s*=\s*"(MESHBASE_[A-Z0-9_]+)"')
FOLDER = re.compile(r"(\w+)/(?:\{([^}]*)\}|(\S+))")


def variables(role: str) -> set[str]:
    """The variables that a role reads."""
    found: set[str] = set()
    for name in [*SOURCES[role], EVERY_ROLE]:
        path = ROOT / name
        files = sorted(path.rglob("*.rs")) if path.is_dir() else [path]
        for file in files:
            found.update(FLAG.findall(file.read_text()))
    return found


def secrets() -> dict[str, set[str]]:
    """The files that `init` writes, by folder, as the comment at its head says."""
    head = (ROOT / "src/init.rs").read_text().split("```")[1]
    return {
        folder: {name.strip() for name in (several or one).split(",")}
        for folder, several, one in FOLDER.findall(head)
    }
