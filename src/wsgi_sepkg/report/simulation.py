"""Outcomes of simulated transactions: steps in words, a table, JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from wsgi_sepkg.simulate.run import Outcome
from wsgi_sepkg.simulate.transaction import Step


def as_json(outcomes: Sequence[Outcome]) -> bytes:
    """Return all outcomes as JSON, with the result of each beside it."""
    plain = [
        msgspec.to_builtins(outcome) | {"result": result(outcome), "failing": outcome.failing}
        for outcome in outcomes
    ]
    return msgspec.json.format(msgspec.json.encode(plain, order="sorted"), indent=2) + b"\n"


def result(outcome: Outcome) -> str:
    """Return the word for an outcome: ``held``, ``FAILED`` or ``skipped``."""
    if outcome.skipped:
        return "skipped"
    return "held" if outcome.ok else "FAILED"


def as_text(outcomes: Sequence[Outcome], verbose: bool = False) -> str:
    """Return a line for each scenario, below it what did not hold; ``verbose`` tells the steps."""
    lines: list[str] = []
    width = max((len(outcome.scenario) for outcome in outcomes), default=0)
    for outcome in outcomes:
        lines.append(f"{result(outcome):8}{outcome.scenario:{width}}  {outcome.about}")
        if outcome.skipped:
            lines.append(f"{'':8}{outcome.skipped}")
            continue
        lines += [f"{'':8}note: {note}" for note in outcome.notes]
        if verbose:
            lines += _steps(outcome)
            lines += _state(outcome)
        for check in outcome.checks:
            if verbose or not check.held:
                lines.append(f"  {'held' if check.held else 'FAILED'}: {check.text}")
            if not check.held:
                lines.append(f"      {check.why}")
        if verbose:
            lines.append("")
    words = [result(outcome) for outcome in outcomes]
    failing = sum(bool(outcome.failing) for outcome in outcomes)
    lines.append(
        f"{words.count('held')} held, {words.count('FAILED')} failed, "
        f"{words.count('skipped')} skipped; a scriptlet failed in {failing}"
    )
    return "\n".join(_printable(line) for line in lines) + "\n"


def _printable(line: str) -> str:
    """Replace control characters: a package's text must not drive the reader's terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def _steps(outcome: Outcome) -> Iterator[str]:
    for transaction in outcome.transactions:
        yield f"  {transaction.title}"
        for step in transaction.steps:
            yield from _step(step)


def _step(step: Step) -> Iterator[str]:
    status = f"  ENDED WITH {step.status}" if step.status else ""
    nothing = "" if step.calls or step.said or step.note else ": nothing"
    yield f"    %{step.scriptlet} {step.package} ({step.argument}){nothing}{status}"
    if step.note:
        yield f"      {step.note}"
    for call in step.calls:
        yield f"      {call.command}"
        if call.text:
            yield f"          {call.text}"
    for line in step.said.splitlines():
        yield f"      says: {line}"


def _state(outcome: Outcome) -> Iterator[str]:
    yield "  at the end"
    yield f"    modules: {', '.join(outcome.modules) or 'none'}"
    for name, value in outcome.booleans:
        yield f"    boolean {name}: {'on' if value else 'off'}"
    yield f"    relabelled: {', '.join(outcome.relabelled) or 'nothing'}"
    yield f"    left over: {', '.join(outcome.left) or 'nothing'}"
