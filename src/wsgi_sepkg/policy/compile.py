"""Policy sources → policy packages, with the target's own headers and the real compiler."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wsgi_sepkg import process
from wsgi_sepkg.errors import BuildFailed, ToolFailed, WrongHost
from wsgi_sepkg.policy.model import Call, Policy, Rule
from wsgi_sepkg.targets import Target, host_target, load

DEVEL = Path("/usr/share/selinux/devel")


@dataclass(frozen=True)
class Headers:
    """The headers to compile against: ``makefile`` of the devel package; ``folder`` or None."""

    makefile: Path
    folder: Path | None = None


def headers_for(target: Target, given: Path | None, policy_root: Path | None = None) -> Headers:
    """Return the headers for ``target``.

    A module compiled with another family's headers installs with status 0 and never loads, so this
    raises WrongHost unless the host is of the target, or ``given`` names the target's own headers
    and ``policy_root`` its policy to link with.
    """
    host = host_target()
    foreign = host != target.name and (not host or load(host).family != target.family)
    if given is not None:
        found = _given_headers(target, given)
        if foreign and policy_root is None:
            raise WrongHost(
                f"the policy of this host is not that of {target.name}: linking with it proves "
                "nothing",
                "give a root folder with the target's policy as --policy-root DIR too",
            )
        return found
    if foreign:
        raise WrongHost(
            f"this host cannot compile for {target.name}: a module is only ever compiled against "
            "its own target's headers",
            "build with --engine mock, copr or koji, make the source RPM with `wsgi-sepkg srpm`, "
            "or give the target's headers with --policy-headers DIR",
        )
    makefile = DEVEL / "Makefile"
    process.find(str(makefile), "the headers of the installed policy")
    return Headers(makefile)


def _given_headers(target: Target, given: Path) -> Headers:
    for makefile in (given / "Makefile", given / "include" / "Makefile"):
        if not makefile.is_file():
            continue
        folder = makefile.parent.resolve()
        for interface in sorted(set(target.interface.values())):
            module = target.facts.interfaces.get(interface, "")
            texts = (p.read_text(encoding="utf-8") for p in folder.glob(f"*/{module}.if"))
            if not any(f"interface(`{interface}'" in text for text in texts):
                raise WrongHost(
                    f"{given}: these are not the headers of {target.name}: they have no interface "
                    f"{interface}",
                    "name the devel/include folder of that distribution's selinux-policy-devel",
                )
        return Headers(folder / "Makefile", folder)
    raise WrongHost(
        f"{given}: no policy headers there", "name the folder that holds their Makefile"
    )


def compile_modules(
    policy: Policy,
    sources: Mapping[str, bytes],
    target: Target,
    headers: Headers,
    work: Path,
    beside: Mapping[str, str] | None = None,
) -> list[Path]:
    """Compile ``sources`` in the folder ``work``; return the module files, the ports module last.

    ``beside``: the .te of further modules by name, compiled in the same run and returned first.

    Raises BuildFailed, naming the keys of the description behind the failing lines, or ToolMissing.
    """
    for tool in ("make", "m4", "checkmodule", "semodule_package"):
        process.find(tool, "compiling the policy")
    work.mkdir(parents=True, exist_ok=True)
    module = policy.module
    for suffix in ("te", "fc", "if"):
        text = sources[f"{module}.{suffix}"]
        text += sources.get(f"local.{suffix}", b"")
        (work / f"{module}.{suffix}").write_bytes(text)
    further = beside or {}
    for name, source in further.items():
        (work / f"{name}.te").write_text(source, encoding="utf-8")
        for suffix in ("fc", "if"):
            (work / f"{name}.{suffix}").write_text("", encoding="utf-8")
    command: list[str | Path] = ["make", "-f", headers.makefile, "NAME=targeted"]
    if headers.folder is not None:
        command.append(f"HEADERDIR={headers.folder}")
    command.append(f"CHECKMODULE={_checkmodule(target)}")
    command += [f"{name}.pp" for name in (*further, module)]
    log = work / "compile.log"
    try:
        process.run(command, cwd=work, log=log)
    except ToolFailed as exc:
        te = sources[f"{module}.te"].decode()
        exc.log = _kept_log(exc, module)
        raise compile_failure(exc, module, te) from exc
    files = [work / f"{name}.pp" for name in (*further, module)]
    if policy.ports:
        ports = work / f"{policy.ports_module}.cil"
        ports.write_bytes(sources[ports.name])
        files.append(ports)
    return files


def _checkmodule(target: Target) -> str:
    """Return the compiler's command, pinned to the module format of the target's oldest minor."""
    command = f"{process.find('checkmodule')} -M"
    said = process.run(["checkmodule", "-V"], check=False).output
    match = re.search(r"-(\d+)", said)
    newest = int(match.group(1)) if match else 0
    # -c exists since checkpolicy 3.0 (SELinuxProject/selinux, checkmodule.8).
    if (
        newest > target.module_format
        and "-c " in process.run(["checkmodule", "-h"], check=False).output
    ):
        command += f" -c {target.module_format}"
    return command


def compile_failure(exc: ToolFailed, module: str, te: str) -> BuildFailed:
    """Return the error of a failed compile: the decisive lines, and the keys behind them."""
    decisive = [
        line
        for line in exc.output.splitlines()
        if re.search(r"ERROR|rror:|m4:|unknown|Error \d", line) and "make" not in line.split(":")[0]
    ] or exc.decisive
    keys = []
    lines = te.splitlines()
    for match in re.finditer(rf"{re.escape(module)}\.te\"?:(\d+)", exc.output):
        number = int(match.group(1))
        key = f"selinux/local.te:{number - len(lines)}"
        if number <= len(lines):
            key = _key_above(lines, number)
        if key and key not in keys:
            keys.append(key)
    for line in decisive:
        for word in re.findall(r"[A-Za-z_]\w+", line):
            for number, text in enumerate(lines, start=1):
                if word in M4_SAFE or not re.search(rf"\b{word}\b", text) or text.startswith("#"):
                    continue
                key = _key_above(lines, number)
                if key and key not in keys and (word.endswith("_t") or "(" in text):
                    keys.append(key)
                break
    shown = "\n".join(f"    {line.strip()}" for line in decisive[:8])
    hint = f"asked for by {', '.join(keys[:6])}" if keys else ""
    if exc.log is not None:
        hint += f"{'; ' if hint else ''}the whole log: {exc.log}"
    return BuildFailed(f"the policy module {module} does not compile:\n{shown}", hint)


def _kept_log(exc: ToolFailed, module: str) -> Path | None:
    """Keep the compiler's output where a person finds it after the temporary folder is gone."""
    try:
        handle, name = tempfile.mkstemp(prefix=f"wsgi-sepkg-{module}-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(f"$ {' '.join(exc.command)}\n{exc.output}")
    except OSError:
        return None
    return Path(name)


# Words of the compiler's messages that also stand in policy.
M4_SAFE = frozenset({"type", "token", "line", "error", "on", "at", "class", "syntax", "tmp"})


def _key_above(lines: list[str], number: int) -> str:
    """Return the TOML key of the comment above a line of the .te, '' when there is none."""
    for line in reversed(lines[: min(number, len(lines))]):
        match = re.match(r"\s*# ([a-z][a-z.-]*(?:\[\d+\])?[a-z.-]*): ", line)
        if match:
            return match.group(1)
    return ""


def keys_for(policy: Policy, source: str, target: str) -> list[str]:
    """Return the keys of the statements that name ``source`` and ``target``, nearest first."""
    exact: list[str] = []
    near: list[str] = []
    for statement in policy.statements:
        body = statement.body
        if isinstance(body, Rule) and body.source == source:
            if body.target == target or (body.target == "self" and source == target):
                exact.append(statement.why.key)
        elif isinstance(body, Call) and source in body.arguments:
            # A call that names the domain alone says nothing about the domain itself.
            other = target != source and target in body.arguments
            (exact if other else near).append(statement.why.key)
    return list(dict.fromkeys(exact or near))
