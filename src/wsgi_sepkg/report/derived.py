"""What follows from a description, for ``generate --explain``."""

from __future__ import annotations

import msgspec

from wsgi_sepkg.package.model import Plan
from wsgi_sepkg.policy.model import Policy
from wsgi_sepkg.policy.render import statement_text


def as_text(policy: Policy, plan: Plan) -> str:
    """Return names, types, labels, grants and packages, each with the key behind it."""
    lines = [f"module        {policy.module} {policy.version}"]
    if policy.ports:
        lines.append(f"ports module  {policy.ports_module}")
    lines += [f"package       {plan.selinux_name}-{plan.evr}", "", "types"]
    lines += [f"  {t.name:<40} {t.why.key}" for t in policy.types]
    lines += ["", "labels"]
    for path in policy.paths:
        kept = f"  (label of module {path.kept_by} kept)" if path.kept_by else ""
        lines.append(f"  {path.path:<40} {path.type:<28} {path.key}{kept}")
    if policy.tunables:
        lines += ["", "tunables"]
        for tunable in policy.tunables:
            word = "on" if tunable.default else "off"
            lines.append(f"  {tunable.name} ({word})  {tunable.why.key}: {tunable.why.reason}")
    lines += ["", "grants"]
    for statement in policy.statements:
        guard = f"if {statement.tunable}: " if statement.tunable else ""
        lines.append(f"  {guard}{statement_text(statement.body)}")
        lines.append(f"      {statement.why.key}: {statement.why.reason}")
    lines += ["", "scriptlets", f"  loads {', '.join(plan.modules)} at priority 200"]
    lines += [f"  relabels on erase: {', '.join(plan.relabel_paths)}"]
    lines += [f"  sets {b.name} {'on' if b.value else 'off'} ({b.when})" for b in plan.booleans]
    return "\n".join(lines) + "\n"


def as_json(policy: Policy, plan: Plan) -> str:
    """Return policy and plan as JSON, keys sorted."""
    data = msgspec.to_builtins({"policy": policy, "plan": plan}, order="sorted")
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n"
