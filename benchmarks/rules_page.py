"""What the study of learning rate rules found: tables for results/rules.json, README, a picture."""
import html
import json

from measure import Report
from page import ROOT, STYLE, write_cell

from transfer_lessons.lr_study import (
    RuleResult,
    StudyCase,
    difference,
    judge,
    read_case,
    rules,
)

RESULT = ROOT / "benchmarks" / "results" / "rules.json"
PLOT = ROOT / "images" / "rules.svg"
CELL = "rules"  # the id of its cell in the index
WHOLE = "whole network"  # what trains in the cases after unfreezing


# The result

def groups(cases: list[StudyCase]) -> dict[str, list[StudyCase]]:
    """Cases for a table each: a rule is chosen on the first two seeds, and judged on the others."""
    frozen = [case for case in cases if case.head != WHOLE]
    found = {"chosen on": [case for case in frozen if case.seed < 2],
             "judged on": [case for case in frozen if case.seed >= 2]}
    for name, is_wanted in (("linear", True), ("hidden", False)):
        found[f"judged on, {name}"] = [case for case in found["judged on"]
                                       if (case.head == "linear head") == is_wanted]
    for name in ("data", "body", "head", "bs"):
        for value in dict.fromkeys(getattr(case, name) for case in frozen):
            found[f"{name} {value}"] = [case for case in frozen if getattr(case, name) == value]
    return {**found, WHOLE: [case for case in cases if case.head == WHOLE]}


def three_digits(result: RuleResult) -> dict[str, object]:
    """A row of a table."""
    def rounded(value):
        if isinstance(value, tuple):
            return [rounded(part) for part in value]
        return float(f"{value:.3g}") if isinstance(value, float) else value
    return {name: rounded(value) for name, value in result._asdict().items()}


def table(cases: list[StudyCase]) -> list[dict[str, object]]:
    """Every rule in these cases."""
    return [three_digits(judge(cases, name)) for name in rules(cases[0].suggestions)]


def gap(cases: list[StudyCase], measure: str) -> dict[str, object]:
    """How much more regret *valley* has than 3e-3 in the same cases."""
    mean, interval = difference(cases, "valley", "3e-3", measure)
    return {"of": "valley minus 3e-3", "mean": float(f"{mean:.3g}"),
            "interval": [float(f"{end:.3g}") for end in interval]}


def write_results(report: Report, rows: list[dict], grids: dict, n_planned: int) -> None:
    """Write results/rules.json: time of the cases, and the tables of the rules."""
    cases = [read_case(row, grids) for row in rows]
    for head in dict.fromkeys(row["head"] for row in rows):
        report.values("a case", {head: [row["seconds"] for row in rows if row["head"] == head]})
    report.content |= {
        "command": "make rules", "cases": len(cases), "planned": n_planned,
        "trainings": sum(len(case.lrs) for case in cases),
        "tables": {name: table(chosen) for name, chosen in groups(cases).items() if chosen}}
    judged = groups(cases)["judged on"]
    if judged:
        report.content["difference"] = {name: gap(judged, name) for name in ("loss", "error")}
    report.write()


# README's section

def ranked(content: dict) -> list[dict]:
    """The rules on the seeds that did not choose, the least regret in loss first."""
    return sorted(content["tables"]["judged on"], key=lambda row: row["loss"])


def loss_of(row: dict) -> str:
    """A rule's mean regret in loss and its 95 % interval."""
    low, high = row["loss_interval"]
    return f"{row['loss']:.2f} ({low:.2f} to {high:.2f})".replace("-0.00", "0.00")


def section(content: dict | None) -> str:
    """The section in Markdown."""
    title = "## Which learning rate?"
    if content is None or "judged on, hidden" not in content["tables"]:
        return (f"{title}\n\n`make rules` measures it, over data sets, bodies, heads and batches, "
                "and `make export` shows here what came out.")
    linear, hidden, every = ({row["rule"]: row for row in content["tables"][name]}
                             for name in ("judged on, linear", "judged on, hidden", "judged on"))
    steep = every["steep"]
    return "\n".join([
        title, "", "![Regret of every rule for the learning rate, by loss and by error rate]"
        "(../images/rules.svg)", "",
        f"`make rules` trained {content['trainings']:,} times on three data sets, and judged every "
        "rule for the learning rate on splits that did not choose it: with a linear head, always "
        f"taking 3e-3 ends {loss_of(linear['3e-3'])} above the lowest loss of its sweep and "
        f"`lr_find`'s *valley* {loss_of(linear['valley'])}, with a hidden layer *valley* "
        f"{loss_of(hidden['valley'])} and 3e-3 {loss_of(hidden['3e-3'])} (means with 95 % "
        f"intervals over splits; {linear['valley']['n']} and {hidden['valley']['n']} networks). "
        f"*steep* diverged in {steep['diverged']} of {steep['n']}; "
        "[lesson 13](13_lr_sweep.ipynb) tells the whole story, and lets you find your own case."])


WIDTH, LEFT, PANEL, GAP, TOP, LINE = 860, 160, 300, 70, 62, 26  # pixels


def draw(content: dict) -> str:
    """Points with their intervals, as SVG that is readable on light and on dark pages."""
    rows = ranked(content)
    bottom = TOP + LINE * len(rows)
    panels = [("loss", "regret in loss", 1), ("error", "regret in error rate, points", 100)]
    lines = [f'<text x="{LEFT - 12}" y="{TOP + LINE * i + 17}" text-anchor="end">'
             f'{html.escape(row["rule"])}</text>' for i, row in enumerate(rows)]
    for number, (measure, title, scale) in enumerate(panels):
        left = LEFT + number * (PANEL + GAP)
        lines += panel(rows, measure, title, scale, left, bottom)
    first = rows[0]["n"]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 44}" role="img" '
        'aria-label="Regret of every rule for the learning rate, by loss and by error rate">',
        f"<style>{STYLE}\n  .dot {{ fill: #0969da }}\n</style>",
        f'<rect class="sheet" width="{WIDTH}" height="{bottom + 44}" rx="8"/>', *lines,
        f'<text class="small" x="{LEFT}" y="{bottom + 36}">{first} networks on splits that did '
        "not choose; line: 95 % interval over splits; 0: the best learning rate</text>",
        "</svg>", ""])


def panel(rows: list[dict], measure: str, title: str, scale: float, left: int,
          bottom: int) -> list[str]:
    """One measure of all rules; a point far out on the right becomes an arrow."""
    highs = sorted(scale * row[f"{measure}_interval"][1] for row in rows)
    end = 1.1 * highs[len(highs) * 3 // 4]
    start = -0.08 * end
    def place(value: float) -> float:
        share = (min(max(value, start), end) - start) / (end - start)
        return round(left + share * PANEL, 1)
    lines = [f'<text x="{left}" y="24">{title}</text>']
    step = next(s for s in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if end / s <= 6)
    for i in range(int(end / step) + 1):
        x = place(i * step)
        kind = "grid" if i else "one"
        lines += [f'<line class="{kind}" x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}"/>',
                  f'<text class="small" x="{x}" y="{TOP - 8}" text-anchor="middle">'
                  f'{i * step:.3g}</text>']
    for i, row in enumerate(rows):
        y = TOP + LINE * i + 13
        value = scale * row[measure]
        low, high = (place(scale * bound) for bound in row[f"{measure}_interval"])
        if value > end:
            lines.append(f'<text x="{left + PANEL}" y="{y + 4}" text-anchor="end">{value:.2g} →'
                         "</text>")
            continue
        lines += [f'<line class="whisker" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>',
                  f'<circle class="dot" cx="{place(value)}" cy="{y}" r="5"/>']
    return lines


def main() -> None:
    content = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else None
    write_cell(CELL, section(content))
    if content:
        PLOT.write_text(draw(content), encoding="utf-8")
    print(f"{content['cases'] if content else 0} cases of the learning rate in nbs/index.ipynb")


if __name__ == "__main__":
    main()
