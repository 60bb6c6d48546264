"""The real linker, compiler and policy of this machine. One link takes 6 s: runs are shared."""

import bz2
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from wsgi_sepkg.policy import buildcheck as bc

STORE = bc.find_store() if Path("/etc/selinux/config").exists() else None
NEEDED = ("semodule", "checkpolicy", "checkmodule", "semodule_package", "setpriv")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        STORE is None or not STORE.readable or not all(shutil.which(t, path=PATH) for t in NEEDED),
        reason="needs a policy store that can be read, and the SELinux userspace",
    ),
]

GOOD = """module bcgood 1.0;
require { type httpd_t; type init_t; attribute file_type, domain; role system_r;
          bool httpd_can_sendmail; class file { read write getattr }; class capability chown;
          class dir search; }
type bcgood_t; type bcgood_data_t; type bcgood_port_t;
typeattribute bcgood_t domain; typeattribute bcgood_data_t file_type;
role system_r types bcgood_t;
allow bcgood_t bcgood_data_t:file { read write };
if (httpd_can_sendmail) { allow bcgood_t self:capability chown; }
optional { require { type bcabsent_t; } allow bcgood_t bcabsent_t:file read; }
"""
GOOD_FC = "/srv/bcgood(/.*)?\tsystem_u:object_r:bcgood_data_t:s0\n"
GOOD_PORTS = "(portcon tcp 28765 (system_u object_r bcgood_port_t ((s0) (s0))))\n"
GOOD_EXPECT = {
    "module": {"name": "bcgood", "priority": 200},
    "booleans": {"httpd_can_sendmail": True},
    "expect": [
        {
            "allow": {
                "source": "bcgood_t",
                "target": "bcgood_data_t",
                "class": "file",
                "permissions": ["read", "write"],
            },
            "key": "a",
        },
        {
            "allow": {
                "source": "bcgood_t",
                "target": "self",
                "class": "capability",
                "permissions": ["chown"],
            },
            "key": "through-boolean",
        },
        {
            "deny": {
                "source": "bcgood_t",
                "target": "shadow_t",
                "class": "file",
                "permissions": ["read"],
            },
            "key": "d",
        },
        {"path": "/srv/bcgood/x", "file-type": "file", "type": "bcgood_data_t", "key": "l"},
        {"path": "/bin/sh", "file-type": "file", "type": "shell_exec_t", "key": "subs_dist"},
    ],
}
MISSING = """module bcmissing 1.0;
require { type httpd_t, bcnosuch_t; class file read; }
allow httpd_t bcnosuch_t:file read;
"""
TWICE = """module bctwice 1.0;
require { class file read; }
type httpd_t; allow httpd_t httpd_t:file read;
"""
NEVER = """module bcnever 1.0;
require { type httpd_t, shadow_t; class file read; }
allow httpd_t shadow_t:file read;
"""
SILENT = """module bcsilent 1.0;
require { attribute file_type; class file read; }
type bcsilent_t, file_type; type bcsilent_port_t;
allow bcsilent_t bcsilent_t:file read;
"""
SILENT_FC = "/etc/shadow.*\t--\tsystem_u:object_r:bcsilent_t:s0\n"
SILENT_PORTS = "(portcon tcp 8765 (system_u object_r bcsilent_port_t ((s0) (s0))))\n"
SILENT_EXPECT = {
    "expect": [
        {
            "deny": {
                "source": "bcsilent_t",
                "target": "self",
                "class": "file",
                "permissions": ["getattr", "read"],
            },
            "key": "must-fail",
            "reason": "because of naïveté",
        },
        {
            "deny": {
                "source": "bctypo_t",
                "target": "self",
                "class": "file",
                "permissions": ["read"],
            },
            "key": "typo",
        },
    ],
}


class Done(NamedTuple):
    status: int
    out: str
    folder: Path


def compile_te(folder: Path, source: str, contexts: str = "") -> Path:
    name = source.split()[1]
    (folder / f"{name}.te").write_text(source)
    (folder / f"{name}.fc").write_text(contexts)
    subprocess.run(
        ["checkmodule", "-M", "-m", "-o", f"{name}.mod", f"{name}.te"], cwd=folder, check=True
    )
    command = ["semodule_package", "-o", f"{name}.pp", "-m", f"{name}.mod"]
    subprocess.run([*command, *(["-f", f"{name}.fc"] if contexts else [])], cwd=folder, check=True)
    packed = folder / f"{name}.pp.bz2"
    packed.write_bytes(bz2.compress((folder / f"{name}.pp").read_bytes()))
    return packed


@pytest.fixture(scope="module")
def world() -> Iterator[Path]:
    """A folder that any user can read, with every module compiled and the lone script."""
    with tempfile.TemporaryDirectory(prefix="buildcheck-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(bc.__file__, folder / "policy-check.py")
        compile_te(folder, GOOD, GOOD_FC)
        compile_te(folder, SILENT, SILENT_FC)
        for source in (MISSING, TWICE, NEVER):
            compile_te(folder, source)
        (folder / "bcgood-ports.cil").write_text(GOOD_PORTS)
        (folder / "bcsilent-ports.cil").write_text(SILENT_PORTS)
        (folder / "good.json").write_text(json.dumps(GOOD_EXPECT))
        (folder / "silent.json").write_text(json.dumps(SILENT_EXPECT))
        yield folder


GOOD_OPTIONS = (
    "--module bcgood.pp.bz2 --ports bcgood-ports.cil --expect good.json --policy-type targeted"
)
SILENT_OPTIONS = "--module bcsilent.pp.bz2 --ports bcsilent-ports.cil --expect silent.json"


def check(folder: Path, options: str, *before: str) -> Done:
    """Run the lone file under the system's Python, as %check does."""
    scratch = Path(tempfile.mkdtemp(dir=folder))
    scratch.chmod(0o777)
    command = [*before, "/usr/bin/python3", "-I", str(folder / "policy-check.py")]
    done = subprocess.run(
        [*command, "--scratch", str(scratch), *options.split()],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
    )
    sys.stdout.write(done.stdout + done.stderr)
    assert "Traceback" not in done.stderr
    assert list(scratch.iterdir()) == [], "the scratch was left behind"
    return Done(done.returncode, done.stdout, folder)


AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def stamps() -> dict[str, int]:
    assert STORE is not None
    places = [Path(STORE.config_dir), Path(STORE.store_dir)]
    return {str(p): p.lstat().st_mtime_ns for top in places for p in sorted(top.rglob("*"))}


@pytest.fixture(scope="module")
def good(world: Path) -> Done:
    before = stamps()
    done = check(world, f"{GOOD_OPTIONS} --keep kept")
    assert stamps() == before, "the real store was touched"
    return done


@pytest.fixture(scope="module")
def silent(world: Path) -> Done:
    return check(world, SILENT_OPTIONS)


def test_a_good_module_passes(good: Done) -> None:
    assert good.status == 0
    assert "FAILED" not in good.out
    assert "NOT CHECKED" not in good.out


def test_every_expectation_of_the_good_module_is_checked(good: Done) -> None:
    for key in ("a", "through-boolean", "d", "l", "subs_dist"):
        assert f"[{key}]" in good.out


def test_another_policy_type_is_said(good: Done) -> None:
    assert STORE is not None
    if STORE.policy_type == "targeted":
        pytest.skip("the store here is targeted")
    assert f"against the policy type {STORE.policy_type}, the one installed here" in good.out


def test_a_name_missing_only_in_an_optional_block_is_a_warning(good: Done) -> None:
    [line] = [line for line in good.out.splitlines() if "bcabsent_t" in line]
    assert line.startswith("WARNING")


def test_keep_leaves_the_linked_root_and_the_result(good: Done) -> None:
    kept = good.folder / "kept"
    result = json.loads((kept / "result.json").read_text())
    assert result["ok"] is True
    assert result["mode"] == "link"
    linked = bc.find_store(str(kept / "root"))
    names = bc.policy_names(bc.linked_policy(linked))
    assert "bcgood_t" in names.types
    assert ("tcp", 28765, 28765, "bcgood_port_t") in names.portcons
    assert "bcgood_data_t" in Path(bc.linked_contexts(linked)).read_text()
    assert bc.active_modules(linked)["bcgood"] == 200


def test_a_deny_that_is_granted_fails_with_its_reason(silent: Done) -> None:
    assert silent.status == 1
    [line] = [line for line in silent.out.splitlines() if "[must-fail]" in line]
    assert line.startswith("FAILED")
    assert "granted: read (because of naïveté)" in line


def test_a_deny_about_an_unknown_type_is_no_success(silent: Done) -> None:
    [line] = [line for line in silent.out.splitlines() if "[typo]" in line]
    assert line.startswith("FAILED")


def test_a_collision_that_the_linker_may_drop_silently_is_found(silent: Done) -> None:
    [line] = [line for line in silent.out.splitlines() if "same regex" in line]
    assert line.startswith("FAILED")
    assert "/etc/shadow.*" in line
    assert "of the module authlogin" in line or "of the module base" in line
    assert "shadow_t" in line


def test_a_port_clash_that_the_linker_does_not_see_is_found(silent: Done) -> None:
    [line] = [line for line in silent.out.splitlines() if "8765" in line]
    assert line.startswith("FAILED")
    assert "lirc_port_t" in line


def test_a_missing_type_is_named(world: Path) -> None:
    done = check(world, "--module bcmissing.pp.bz2")
    assert done.status == 1
    assert "bcmissing: does not link" in done.out
    assert "(typeattributeset cil_gen_require bcnosuch_t)" in done.out


def test_a_type_declared_twice_is_named(world: Path) -> None:
    done = check(world, "--module bctwice.pp.bz2")
    assert done.status == 1
    assert "Re-declaration of type httpd_t" in done.out


def test_a_broken_neverallow_is_named(world: Path) -> None:
    done = check(world, "--module bcnever.pp.bz2")
    assert done.status == 1
    assert "bcnever: does not link" in done.out
    assert "(allow httpd_t shadow_t (file (read)))" in done.out


def spoiled(tmp_path: Path, name: str, text: str) -> bc.Store:
    """A copy of the store with one more module, as if another package had installed it."""
    assert STORE is not None
    copy = bc.scratch_copy(STORE, str(tmp_path / "root"))
    module = Path(copy.modules_dir) / "100" / name
    module.mkdir()
    (module / "cil").write_text(text)
    (module / "lang_ext").write_text("cil")
    return copy


def test_a_broken_module_of_somebody_else_is_not_our_failure(world: Path, tmp_path: Path) -> None:
    spoiled(tmp_path, "theirs", "(allow httpd_t bcnosuch_t (file (read)))\n")
    options = f"--module bcgood.pp.bz2 --selinux-root {tmp_path / 'root'}"
    done = check(world, options)
    assert done.status == 0
    assert "NOT CHECKED" in done.out
    assert "the module theirs" in done.out
    assert "bcgood: the" in done.out  # the check by name ran instead


def test_a_store_that_breaks_neverallow_alone_is_linked_without(
    world: Path, tmp_path: Path
) -> None:
    copy = spoiled(tmp_path, "theirs", "(allow httpd_t shadow_t (file (read)))\n")
    result = bc.link(copy, [str(world / "bcgood.pp.bz2")])
    assert result.ok
    assert not result.expand_check
    assert "neverallow" in "\n".join(result.messages)


def test_nobody_gets_the_check_by_name_and_is_told(world: Path) -> None:
    done = check(world, GOOD_OPTIONS, *AS_NOBODY)
    assert done.status == 0
    assert "cannot be read by this user" in done.out
    assert "5 expectations: they need the linked policy" in done.out
    assert "bcgood: the" in done.out
    assert "1 file contexts collide with none" in done.out


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ("--module bcmissing.pp.bz2", "bcmissing: type bcnosuch_t is not in the installed"),
        ("--module bctwice.pp.bz2", "bctwice: declares the type httpd_t"),
        (SILENT_OPTIONS, "/etc/shadow.* (file) bcsilent_t has the same regex"),
        (SILENT_OPTIONS, "lirc_port_t"),
    ],
)
def test_nobody_finds_by_name(world: Path, options: str, word: str) -> None:
    done = check(world, options, *AS_NOBODY)
    assert done.status == 1
    [line] = [line for line in done.out.splitlines() if word in line]
    assert line.startswith("FAILED")


def test_attributes_that_the_binary_policy_dropped_are_no_failure(world: Path) -> None:
    (world / "bcattr.cil").write_text("(type bcattr_t)(typeattributeset mlsfduse (bcattr_t))")
    names = bc.policy_names(STORE.policy if STORE else "")
    if "mlsfduse" in names.attributes:
        pytest.skip("this policy kept it")
    done = check(world, "--module bcattr.cil", *AS_NOBODY)
    assert done.status == 0


def test_a_whole_policy_is_read_quickly(tmp_path: Path) -> None:
    assert STORE is not None
    cil = tmp_path / "full.cil"
    subprocess.run(
        ["checkpolicy", "-M", "-b", "-C", "-o", cil, STORE.policy], check=True, capture_output=True
    )
    text = cil.read_text()
    names, full = bc.read_cil_names(text), bc.read_cil(text)
    assert names.types == full.types
    assert names.booleans == set(full.booleans)
    assert names.portcons == full.portcons
    assert names.attributes == full.attributes
    assert not bc.missing_names(full.required, names)


def test_a_damaged_module_file_is_a_failed_check(world: Path) -> None:
    (world / "bcdamaged.pp.bz2").write_bytes((world / "bcgood.pp.bz2").read_bytes()[:200])
    (world / "bcnoise.pp").write_bytes(b"no module at all")
    for name in ("bcdamaged.pp.bz2", "bcnoise.pp"):
        done = check(world, f"--module {name}")
        assert done.status == 1
        assert name in done.out


def test_the_check_of_access_needs_no_selinux_bindings_to_say_so(
    good: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "selinux", None)
    linked = bc.find_store(str(good.folder / "kept/root"))
    expected = bc.parse_expectations(json.dumps(GOOD_EXPECT)).expect
    outcomes = bc.check_access(bc.linked_policy(linked), expected)
    assert [outcome.ok for outcome in outcomes] == [None] * 3
    assert "python3-libselinux" in outcomes[0].why
    labels = bc.check_labels(bc.linked_contexts(linked), expected)  # through matchpathcon
    assert [outcome.ok for outcome in labels] == [True, True]


def test_a_program_started_as_the_signal_came_ends_before_the_scratch_is_removed(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    def interrupted(job: object, folder: str, report: object) -> None:
        late = f"sleep 0.3; mkdir -p {folder}/late"
        begun.append(subprocess.Popen(["sh", "-c", late]))  # nobody waits for it any more
        sys.exit(143)

    monkeypatch.setattr(bc, "run", interrupted)
    with pytest.raises(SystemExit):
        bc.main(["--scratch", str(tmp_path), "--module", str(world / "bcgood.pp.bz2")])
    begun[0].wait()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_check_removes_its_scratch(world: Path, tmp_path: Path) -> None:
    command = ["/usr/bin/python3", "-I", str(world / "policy-check.py"), "--scratch", str(tmp_path)]
    with subprocess.Popen([*command, "--module", str(world / "bcgood.pp.bz2")]) as running:
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob("*/root/etc/selinux/semanage.conf")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.terminate()
    assert running.returncode == 143
    assert list(tmp_path.iterdir()) == []
