"""What was measured, over rounds: medians, spreads, targets, as Markdown and JSON."""

import statistics
from dataclasses import dataclass, field
from typing import Any

# beyond this the machine was not quiet, and what was measured is not kept
LOUD = 0.30


def spread(values: list[float]) -> float:
    """The distance of the extremes as a part of the median; zero of what is zero."""
    median = statistics.median(values)
    return (max(values) - min(values)) / median if median else 0.0


@dataclass(frozen=True)
class Target:
    """A limit that a median must keep."""

    what: str
    limit: float
    value: float | None
    at_least: bool = False

    def verdict(self) -> str:
        """`pass`, `miss`, or that nothing of ours was measured."""
        if self.value is None:
            return "not measured"
        kept = self.value >= self.limit if self.at_least else self.value <= self.limit
        return "pass" if kept else "miss"


@dataclass
class Section:
    """One experiment: for each contender and column, a value per round."""

    name: str
    title: str
    # column → how its values are written
    columns: dict[str, str]
    control: tuple[str, str] | None = None
    # contender → column → a value per round
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)

    def add(self, contender: str, values: dict[str, float]) -> None:
        """Adds one round's values."""
        for column, value in values.items():
            self.figures.setdefault(contender, {}).setdefault(column, []).append(value)

    def ratio(self, one: str, other: str, column: str) -> float | None:
        """The median of each round's `one` ÷ `other`; nothing if either was not measured."""
        if one not in self.figures or other not in self.figures:
            return None
        pairs = zip(self.figures[one][column], self.figures[other][column], strict=True)
        return statistics.median(a / b for a, b in pairs)

    def median(self, contender: str, column: str) -> float | None:
        """The median over rounds; nothing if it was not measured."""
        return statistics.median(self.figures[contender][column]) if contender in self.figures else None

    def control_spread(self) -> float:
        """How much the control, which no contender influences, moved over the rounds."""
        if self.control is None:
            return 0.0
        contender, column = self.control
        return spread(self.figures[contender][column])

    def markdown(self) -> str:
        """Two tables: figures as median and spread, and targets."""
        heads = ["", *self.columns]
        lines = [f"### {self.title}", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for contender, columns in self.figures.items():
            cells = (_cell(columns.get(column), form) for column, form in self.columns.items())
            lines.append(f"| {contender} | {' | '.join(cells)} |")
        if self.targets:
            lines += ["", "| target | limit | measured | |", "|---|---|---|---|"]
        for target in self.targets:
            sign = "≥" if target.at_least else "≤"
            value = "-" if target.value is None else _short(target.value)
            lines.append(f"| {target.what} | {sign} {_short(target.limit)} | {value} | {target.verdict()} |")
        return "\n".join(lines)

    def record(self) -> dict[str, Any]:
        """The same for a file."""
        figures = {
            contender: {
                column: {"median": round(statistics.median(values), 4), "spread": round(spread(values), 3)}
                for column, values in columns.items()
            }
            for contender, columns in self.figures.items()
        }
        targets = [
            {
                "what": target.what,
                "at_least" if target.at_least else "at_most": target.limit,
                "measured": None if target.value is None else round(target.value, 4),
                "verdict": target.verdict(),
            }
            for target in self.targets
        ]
        return {"title": self.title, "figures": figures, "targets": targets}


def _cell(values: list[float] | None, form: str) -> str:
    return f"{statistics.median(values):{form}} ± {spread(values) / 2:.0%}" if values else "-"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
