"""Show a Trial: a page for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from wsgi_sepkg.machine.trial import Refusal, Trial


def as_dict(trial: Trial) -> dict[str, object]:
    """Return the trial as data for JSON, with ``ok`` and without the audit log."""
    data = {**asdict(trial), "ok": trial.ok}
    del data["audit_log"]
    return data


def as_text(trial: Trial, verbose: bool = False) -> str:
    """Return what happened; with ``verbose`` the logs too, which a failure always shows."""
    lines = [
        f"machine: {trial.system or 'unknown'}, {trial.enforcing}, booted in {trial.booted:.0f} s"
    ]
    lines.append(f"installed: {', '.join(trial.packages)}" if trial.installed else "not installed")
    if verbose or not trial.installed:
        lines += _indented(trial.install_log)
    lines += [f"module: {module}" for module in trial.modules]
    lines.append(f"rpm -V: {'nothing to say' if trial.verified else 'found'}")
    if not trial.verified:
        lines += _indented(trial.verify_log)
    if trial.script is not None:
        lines.append(f"script: status {trial.script}")
        if verbose or trial.script:
            lines += _indented(trial.script_log)
    if trial.domains:
        lines.append(
            "domains: " + ", ".join(f"{comm} in {domain}" for domain, comm in trial.domains)
        )
    lines += _denied("denied while installing", trial.installing)
    lines += _denied("denied after the installation", trial.running)
    return "\n".join(lines)


def _denied(title: str, found: Sequence[Refusal]) -> list[str]:
    lines = [f"{title}: {sum(item.count for item in found)}"]
    for item in found:
        what = f"{item.source} {item.target}:{item.tclass} {{ {' '.join(item.permissions)} }}"
        times = f" ({item.count} times)" if item.count > 1 else ""
        lines.append(f"  {what}  {item.command} {item.where}".rstrip() + times)
    return lines


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]
