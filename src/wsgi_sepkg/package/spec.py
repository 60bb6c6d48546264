"""Plan → text of the spec. Everything that a person wrote is escaped here, once."""

from __future__ import annotations

import re
import shlex
import textwrap

from msgspec.structs import replace

from wsgi_sepkg import resources
from wsgi_sepkg.package.model import Bundle, Change, Plan
from wsgi_sepkg.package.version import rpm_version
from wsgi_sepkg.policy.render import environment


def spec_text(text: str) -> str:
    """Return ``text`` as it stands in a spec: rpm expands % wherever it is, also in comments."""
    return text.replace("%", "%%")


def paragraph(text: str, first: str = "", rest: str = "") -> str:
    """Return a text for %description, its lines begun by ``first`` and ``rest``, escaped.

    No line begins with % or #: rpm looks for sections and conditions after it has expanded "%%",
    and takes "#" for a comment.
    """
    words = spec_text(" ".join(text.split()))
    if not first:
        words = re.sub(r"^(?=[%#])", "- ", words)
    glued = re.sub(r" (?=[%#])", "\0", words)
    lines = textwrap.wrap(
        glued,
        width=79,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace("\0", " ")


def _policy_description(plan: Plan) -> str:
    """Return the description of the package that holds the policy, with a line for each power."""
    ports = " and ports" if plan.ports_module else ""
    text = plan.description
    if plan.application is not None:
        text = (
            f"SELinux policy module {plan.module} for {plan.name}: labels of its files{ports}, "
            "and the access that the application needs."
        )
    parts = [paragraph(text)]
    if plan.reasons:
        parts += ["", "What it allows, and why:"]
        parts += [paragraph(reason, "- ", "  ") for reason in plan.reasons]
    return "\n".join(parts)


def render(plan: Plan) -> str:
    """Return the spec of ``plan``. Same plan, same bytes."""
    application = plan.application
    wanted = application.requires if application is not None else ()
    bundle = application.bundle if application is not None else None
    return (
        environment("specs")
        .get_template("package.spec.j2")
        .render(
            plan=plan,
            macros=(resources.folder("specs") / "wsgisepkg.macros").read_text(encoding="utf-8"),
            summary=spec_text(plan.summary),
            description=paragraph(plan.description),
            url=spec_text(plan.url),
            policy_description=_policy_description(plan),
            needs_semanage=bool(plan.booleans),
            build_requires=[
                r
                for r in wanted
                if re.match(r"\(?python3(\.\d+)?(dist\(|-)", r) and not r.endswith("mod_wsgi")
            ],
            environment=[
                (name, spec_text(shlex.quote(value)))
                for name, value in (application.build_environment if application else ())
            ],
            bundled=_bundled(bundle) if bundle is not None else (),
            # Brackets and not backslashes, which a macro and the expression would both take away.
            libraries=[
                re.sub(r"[.+]", r"[\g<0>]", name)
                for name in (bundle.libraries if bundle is not None else ())
            ],
            changelog=[_escaped(change) for change in plan.changelog],
        )
    )


def _bundled(bundle: Bundle) -> list[tuple[str, str]]:
    """Return name and version of what travels along, as RPM writes them; once for all machines."""
    return sorted({(wheel.name, str(rpm_version(wheel.version))) for wheel in bundle.wheels})


def _escaped(change: Change) -> Change:
    return replace(
        change, author=spec_text(change.author), lines=tuple(spec_text(x) for x in change.lines)
    )


def manifest(plan: Plan, contexts_digest: str) -> str:
    """Return what the package brings, one fact a line, for the scriptlets of the next version."""
    lines = [f"module {name}" for name in plan.modules]
    lines += [f"boolean {b.name} {b.value} {b.when}" for b in plan.booleans]
    lines.append(f"contexts {contexts_digest}")
    return "\n".join(lines) + "\n"
