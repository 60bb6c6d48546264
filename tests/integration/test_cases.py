"""Five real -selinux packages, said in our own words: the policy that comes out has their facts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from policy_tools import (
    HLL_PP,
    Rendered,
    compile_all,
    holds,
    include_folder,
    labels,
    not_granted,
    plain_pattern,
    prose,
    rendered,
    spellings,
    structured_facts,
)

from wsgi_sepkg import targets
from wsgi_sepkg.package.tree import generate
from wsgi_sepkg.policy.buildcheck import active_modules, find_store, link, read_cil, scratch_copy
from wsgi_sepkg.project.load import load
from wsgi_sepkg.project.values import literal_stem

pytestmark = pytest.mark.integration

CASES = Path(__file__).parents[1] / "data" / "cases"
SHARED = Path(__file__).parents[3] / "shared" / "cases"
NAMES = sorted(path.stem for path in CASES.glob("*.toml"))
TARGETS = ["debian-12", "el9", "el10", "fedora"]
HOST = "debian-12"

if not Path(HLL_PP).exists() or include_folder(HOST) is None or not shutil.which("semodule"):
    pytest.skip("no policy headers or no linker on this host", allow_module_level=True)


def expected(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((CASES / f"{name}.expected.json").read_text())
    return result


def facts(name: str, target: str) -> list[str]:
    """Return what must hold on ``target``: the case's facts, some in the target's own words."""
    said = expected(name)
    lines = [*said["facts"], *(line for group in said["prose"].values() for line in group)]
    for key in ("", target):
        instead = said["instead"].get(key, {})
        unused = set(instead) - set(lines)
        assert not unused, f"nothing to say otherwise: {unused}"
        lines = [instead.get(line, line) for line in lines]
    return list(dict.fromkeys(lines))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Render, and compile where the target's headers are here, each case once per target."""
    done: dict[tuple[str, str], Rendered] = {}

    def build(name: str, target: str = HOST) -> Rendered:
        if (name, target) not in done:
            folder = tmp_path_factory.mktemp(f"{name}-{target}")
            module = rendered(CASES / f"{name}.toml", target, folder)
            include = include_folder(target)
            if include is not None:
                calls = [f.removeprefix("call ") for f in facts(name, target) if f[:5] == "call "]
                compile_all(module, include, calls)
            done[name, target] = module
        return done[name, target]

    return build


def test_there_are_five_cases() -> None:
    assert [name[:2] for name in NAMES] == ["01", "02", "05", "06", "09"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the cases lie outside of the repository")
@pytest.mark.parametrize("name", NAMES)
def test_expected_facts_are_those_of_the_real_package(name: str) -> None:
    said = expected(name)
    case = json.loads((SHARED / f"{said['case']}.json").read_text())
    assert said["facts"] == structured_facts(case)
    assert set(said["prose"]) == prose(case), "each sentence of the case stands for facts"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_facts_hold_but_for_those_left_out(name: str, target: str, built: Any) -> None:
    module = built(name, target)
    missing = {fact for fact in facts(name, target) if holds(fact, module) is False}
    assert missing == set(expected(name)["left-out"].get(target, {}))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_otherwise_or_left_out_has_no_name_on_the_target(
    name: str, target: str
) -> None:
    said = expected(name)
    have = targets.load(target).facts
    known = {*have.types, *have.attributes, *have.interfaces, *have.booleans}
    for fact in [*said["instead"].get(target, {}), *said["left-out"].get(target, {})]:
        if fact.startswith("port "):
            ends = {int(number) for number in fact.split()[-1].split("-")}
            assert ends <= {p.low for p in have.ports}, f"{target}: {fact} is free"
            continue
        aliased = any(f" {alias}/" in fact for alias, _ in have.equivalences)
        assert aliased or not _subject_known(fact, known), f"{target} can say: {fact}"


def _subject_known(fact: str, known: set[str]) -> bool:
    """Say whether the name that the fact is about, and that may be lacking, is known."""
    kind, *words = re.split(r"[ (:]", fact)
    return words[{"call": 0, "boolean": 0, "allow": 1, "member": 1, "label": -1}[kind]] in known


@pytest.mark.parametrize("name", NAMES)
def test_reference_calls_grant_nothing_that_the_module_does_not(name: str, built: Any) -> None:
    assert not_granted(built(name)) == set()


@pytest.mark.parametrize(
    "fact",
    [
        "domain pulpcore_t pulpcore_exec_t init_daemon nnp",
        "domain pulpcore_t pulpcore_server_exec_t init_daemon nnp permissive",
        "type pulpcore_tmp_t log",
        "member pulpcore_tmp_t logfile",
        "label /usr/bin/pulpcore-worker any pulpcore_exec_t",
        "label /run/pulpcore-api(/.*)? any pulpcore_var_run_t",
        "port pulpcore_port_t tcp 24816",
        "tunable pulpcore_x false",
        "boolean httpd_can_network_connect true",
        "allow pulpcore_t pulpcore_server_t:key { read view } optional",
        "allow pulpcore_t pulpcore_server_t:key { read write }",
        "allow httpd_t pulpcore_server_t:unix_stream_socket { connectto } optional if pulpcore_x",
        "transition init_t var_run_t:dir pulpcore_var_run_t pulpcore-api",
        "call gpg_manage_tmp_files(pulpcore_t)",
        "interface pulpcore_nothing: allow caller_t pulpcore_t:fd { use }",
        "interface pulpcore_tcp_bind_port: allow caller_t pulpcore_port_t:udp_socket { name_bind }",
    ],
)
def test_a_wrong_fact_does_not_hold(fact: str, built: Any) -> None:
    assert holds(fact, built("01-pulpcore")) is False


# -- mistakes of the real packages ------------------------------------------------------------


# Modules that other modules of every policy need: base itself and those without which none boots.
CORE = {"-", "base", "init", "logging", "files", "authlogin", "systemd"}


@pytest.mark.parametrize("name", NAMES)
def test_foreign_types_are_required_in_optional_blocks_only(name: str, built: Any) -> None:
    module = built(name)
    needed = module.cil.required.get("type", set()) - module.target.facts.attributes
    labelled = {f.type for f in module.cil.filecons}  # a label has no optional block
    foreign = {
        type_: module.target.facts.types[type_]
        for type_ in needed - labelled
        if module.target.facts.types.get(type_, "?") not in CORE
    }
    assert foreign == {}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_entry_points_are_regular_files(name: str, target: str, built: Any) -> None:
    module = built(name, target)
    entries = {d.entry for d in module.policy.domains}
    found = [(p, f) for p, f, t in labels(module) if t in entries or t.endswith("_exec_t")]
    assert {ftype for _, ftype in found} <= {"file"}
    assert entries <= {t for _, _, t in labels(module)}, (
        "an entry point without label starts nothing"
    )


def test_a_more_specific_entry_point_wins(built: Any, linked: Any) -> None:
    at = linked.label
    assert at("/usr/libexec/pulpcore/gunicorn") == "pulpcore_server_exec_t"
    assert at("/usr/libexec/pulpcore/anything") == "pulpcore_exec_t"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_paths_are_labelled_under_both_spellings(name: str, target: str, built: Any) -> None:
    found = labels(built(name, target))
    one_sided = {
        (pattern, other)
        for pattern, ftype, type_ in found
        if pattern.startswith(("/run/", "/var/run/", "/usr/sbin/"))
        for other in spellings(pattern)
        if (other, ftype, type_) not in found
    }
    assert one_sided == set()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_permissive_domains_are_waived_ones(name: str, target: str, built: Any) -> None:
    policy = built(name, target).policy
    waived = {w.grant.split()[1] for w in policy.waivers if w.grant.startswith("permissive ")}
    assert {d.name for d in policy.domains if d.permissive} == waived
    assert all(date.fromisoformat(w.until) for w in policy.waivers)
    said = set(
        re.findall(r"(?m)^permissive (\w+);", built(name, target).texts[f"{policy.module}.te"])
    )
    assert said == waived


def test_a_permissive_domain_without_waiver_is_refused(tmp_path: Path) -> None:
    from wsgi_sepkg.errors import ConfigError

    text = (CASES / "06-candlepin.toml").read_text()
    start = text.index("[[waiver]]")
    without = text[:start] + text[text.index("[[type]]") :]
    file = tmp_path / "wsgi-sepkg.toml"
    file.write_text(without)
    with pytest.raises(ConfigError, match="permissive domain stops nothing"):
        load(file, target=HOST)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_ports_stand_in_a_cil_module_and_nowhere_else(name: str, target: str, built: Any) -> None:
    module = built(name, target)
    for file, text in module.texts.items():
        assert "semanage" not in text
        assert ("portcon" in text) == file.endswith(".cil")
    if module.cil is not None:
        assert module.cil.portcons == []
    # Removed in one transaction with the type: no port outlives the type that it names.
    for port in module.policy.ports:
        assert port.type in {t.name for t in module.policy.types}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_booleans_are_set_to_a_value_and_exist(name: str, target: str, built: Any) -> None:
    module = built(name, target)
    assert all(isinstance(b.value, bool) for b in module.policy.booleans)
    assert {b.name for b in module.policy.booleans} <= set(module.target.facts.booleans)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_tunable_guards_of_others_is_inside_an_optional_block(name: str, built: Any) -> None:
    cil = built(name).cil
    own = {f"[ {t.name} ]:True" for t in built(name).policy.tunables}
    guarded = [r for r in cil.rules if r.condition in own]
    assert bool(guarded) == bool(own)
    bare = [r for r in guarded if not r.optional and not {r.source, r.target} <= cil.types]
    assert bare == []


def test_no_web_domain_is_added_where_httpd_serves(built: Any) -> None:
    for name in ("02-pulp2", "05-copr", "06-candlepin"):
        domains = {d.name for d in built(name).policy.domains}
        assert domains <= {"celery_t", "streamer_t", "candlepin_t"}


def test_each_own_port_type_is_a_port(built: Any) -> None:
    ports = {
        type_.name: type_.name in built(name).cil.attribute_members["port_type"]
        for name in NAMES
        for type_ in built(name).policy.types
        if type_.kind == "port"
    }
    assert ports == {
        "pulpcore_port_t": True,
        "candlepin_activemq_port_t": True,
        "pulp_27017_port_t": True,
    }


def test_a_module_of_the_base_policy_is_replaced_only_with_a_reason(tmp_path: Path) -> None:
    from wsgi_sepkg.errors import ConfigError

    text = (CASES / "09-cockpit.toml").read_text()
    file = tmp_path / "wsgi-sepkg.toml"
    file.write_text(re.sub(r"(?m)^replace-base-module.*\n", "", text))
    with pytest.raises(ConfigError, match=r"a module of the base policy has this name") as caught:
        load(file, target=HOST)
    assert "replace-base-module" in str(caught.value)
    assert "cockpit_ws_t: the base policy of debian-12 has this type already" in str(caught.value)


def test_an_optional_rule_may_name_a_type_that_the_target_lacks(tmp_path: Path) -> None:
    from wsgi_sepkg.errors import ConfigError

    text = (CASES / "09-cockpit.toml").read_text()
    assert "optional = true" in text
    file = tmp_path / "wsgi-sepkg.toml"
    file.write_text(text.replace("optional = true\n", ""))
    with pytest.raises(ConfigError, match="pidfs_t: no such type in debian-12"):
        load(file, target=HOST)


# -- interfaces and style ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_interfaces_can_be_called_by_another_module(name: str, built: Any) -> None:
    """Compiled in ``built``; each interface grants something to its caller."""
    module = built(name)
    assert module.policy.interfaces
    reached = {r.target for r in module.caller.rules if r.source == "caller_t"}
    files = {
        t.name for t in module.policy.types if t.kind not in ("port", "entry", "unit", "executable")
    }
    assert files <= reached


@pytest.mark.skipif(not shutil.which("selint"), reason="selint is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_selint_finds_nothing(name: str, built: Any) -> None:
    """Installed headers declare no type, so selint takes the base policy's in a .fc for missing.

    That finding (E-005) cannot be silenced in a .fc; it is accepted for types that there are.
    """
    include = include_folder(HOST)
    assert include is not None
    have = targets.load(HOST).facts.types
    rest = [
        line
        for line in selint(built(name), include)
        if not (match := re.search(r"\((\w+)\) listed in fc_entry \(E-005\)$", line))
        or match.group(1) not in have
    ]
    assert rest == []


def selint(module: Rendered, context: Path) -> list[str]:
    files = sorted(n for n in module.texts if n.endswith((".te", ".fc", ".if")))
    done = subprocess.run(
        ["selint", "--source", f"--context={context}", *files],
        cwd=module.folder,
        text=True,
        capture_output=True,
        timeout=120,
    )
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if line and not line.startswith(("Note:", "Warning: Failed"))]


# -- linked together --------------------------------------------------------------------------


class Linked:
    """All five cases in one scratch store."""

    def __init__(self, modules: list[Rendered], folder: Path) -> None:
        self.store = scratch_copy(find_store("/", "default"), str(folder))
        self.before = active_modules(self.store)
        files = [file for module in modules for file in module.modules]
        self.result = link(self.store, files)
        self.active = active_modules(self.store)

    def label(self, path: str, mode: str = "file") -> str:
        """Return the type that matchpathcon gives to ``path``."""
        done = subprocess.run(
            ["matchpathcon", "-n", "-m", mode, "-f", self.store.contexts, path],
            text=True,
            capture_output=True,
            timeout=30,
            check=True,
        )
        return done.stdout.strip().split(":")[2]


@pytest.fixture(scope="module")
def linked(built: Any, tmp_path_factory: pytest.TempPathFactory) -> Linked:
    found = Linked([built(name) for name in NAMES], tmp_path_factory.mktemp("store"))
    assert found.result.ok, found.result.messages
    return found


def test_all_five_link_in_one_transaction(linked: Linked) -> None:
    assert {name: p for name, p in linked.active.items() if linked.before.get(name) != p} == {
        "pulpcore": 200,
        "pulpcore_ports": 200,
        "pulp": 200,
        "pulp_ports": 200,
        "copr": 200,
        "candlepin": 200,
        "candlepin_ports": 200,
        "cockpit": 200,  # in the place of the base policy's at 100
    }
    assert linked.before["cockpit"] == 100


@pytest.mark.parametrize(
    ("path", "mode", "type_"),
    [
        ("/usr/bin/pulpcore-content", "file", "pulpcore_server_exec_t"),
        ("/run/pulpcore-api", "dir", "pulpcore_server_var_run_t"),
        ("/run/pulpcore-worker-3", "dir", "pulpcore_var_run_t"),
        ("/etc/pulp/certs/database_fields.symmetric.key", "file", "pulpcore_etc_t"),
        ("/usr/local/lib/pulp/bin/gunicorn", "file", "pulpcore_server_exec_t"),
        ("/usr/bin/celery", "file", "celery_exec_t"),
        ("/run/pulp/celery.pid", "file", "pulp_var_run_t"),
        ("/var/log/pulp/celery.log", "file", "httpd_sys_rw_content_t"),
        ("/var/lib/copr/data/x", "file", "copr_data_t"),
        ("/var/lib/copr-dist-git/x", "file", "httpd_sys_content_t"),
        ("/usr/sbin/candlepin", "file", "candlepin_exec_t"),
        ("/etc/candlepin/certs/candlepin-ca.key", "file", "candlepin_etc_certs_ca_cert_r_t"),
        ("/run/cockpit/tls", "dir", "cockpit_var_run_t"),
        ("/usr/libexec/cockpit-ws", "file", "cockpit_ws_exec_t"),
        ("/etc/cockpit/ws-certs.d/0-self-signed.cert", "file", "cert_t"),
    ],
)
def test_linked_labels(linked: Linked, path: str, mode: str, type_: str) -> None:
    assert linked.label(path, mode) == type_


def test_modules_link_where_the_optional_modules_are_absent(
    built: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """httpd's own types label paths of three cases, so apache stays; the rest may be missing."""
    folder = tmp_path_factory.mktemp("poor")
    store = scratch_copy(find_store("/", "default"), str(folder))
    # matrixd itself cannot do without postgresql.
    absent = ("gpg", "kerberos", "matrixd", "postgresql", "puppet", "redis")
    have = active_modules(store)
    for name in absent:
        if name in have:
            shutil.rmtree(Path(store.modules_dir) / str(have[name]) / name)
    files = [file for name in NAMES for file in built(name).modules]
    result = link(store, files)
    assert result.ok, result.messages
    assert "pulpcore" in active_modules(store)
    assert not set(absent) & set(active_modules(store))


@pytest.mark.parametrize("name", NAMES)
def test_ports_are_those_of_the_rendered_cil(name: str, built: Any) -> None:
    module = built(name)
    if module.policy.ports:
        cil = read_cil(module.texts[f"{module.policy.ports_module}.cil"])
        assert {(p.protocol, p.low, p.high, p.type) for p in cil.portcons} == {
            (p.protocol, p.low, p.high, p.type) for p in module.policy.ports
        }


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_rendering_twice_gives_the_same_bytes(
    name: str, target: str, built: Any, tmp_path: Path
) -> None:
    again = rendered(CASES / f"{name}.toml", target, tmp_path / "again")
    assert again.texts == built(name, target).texts


def test_patterns_are_escaped_where_the_real_packages_forgot(built: Any) -> None:
    for name in NAMES:
        for context in built(name).cil.filecons:
            bare = re.sub(r"\\.|\.\*|\.\+|\[[^\]]*\]", "", context.pattern)
            assert "." not in bare, (context.pattern, plain_pattern(context.pattern))


# -- the spec ---------------------------------------------------------------------------------


def spec(name: str, target: str = "fedora") -> str:
    """Return the spec of a case without the text of the macros above it."""
    tree = generate(load(CASES / f"{name}.toml", target=target))
    text = tree.files[tree.spec_name]
    whole = text.decode() if isinstance(text, bytes) else text
    head, name_line, rest = whole.partition("\nName:")
    facts_of_package = "\n".join(re.findall(r"(?m)^%global .*$", head))
    return facts_of_package + name_line + rest


def section(text: str, name: str) -> str:
    match = re.search(
        rf"(?ms)^%{name}\n(.*?)(?=^%(?:pre|post|preun|postun|posttrans|files|verify"
        r"script|changelog|install|check|build)\b)",
        text,
    )
    assert match is not None, name
    return match.group(1)


@pytest.mark.parametrize("name", NAMES)
def test_all_modules_are_installed_by_one_command(name: str, built: Any) -> None:
    policy = built(name).policy
    post = section(spec(name, HOST), "post")
    wanted = [f"{policy.module}.pp"] + [f"{policy.ports_module}.cil"] * bool(policy.ports)
    lines = [line for line in post.splitlines() if "modules_install" in line]
    assert len(lines) == len(
        load(CASES / f"{name}.toml", target=HOST).description.project.policy_types
    )
    for line in lines:
        assert re.findall(r"/(\w+\.(?:pp|cil))", line) == wanted
    assert "selinuxenabled" not in post  # an image build gets the module too


@pytest.mark.parametrize("name", NAMES)
def test_only_paths_of_the_package_are_relabelled(name: str, built: Any) -> None:
    found = re.search(r"(?m)^%global wsgisepkg_paths (.*)$", spec(name, HOST))
    assert found is not None
    stems = {literal_stem(c.pattern) for c in built(name).policy.contexts}
    for path in found.group(1).split():
        assert any(path.rstrip("*").startswith(stem.rstrip("/")) for stem in stems), path
    assert "relabel_pre" in section(spec(name), "pre")
    assert "relabel_post" in section(spec(name), "posttrans")


def test_booleans_are_numbers_and_counted_down_at_each_removal() -> None:
    text = spec("05-copr")
    names = ("httpd_can_network_connect", "httpd_can_sendmail", "httpd_enable_cgi", "nis_enabled")
    wanted = " ".join(f"{name}=1:always" for name in names)
    assert f"booleans_set -s targeted {wanted}" in section(text, "post")
    before_the_guard = section(text, "postun").partition('"$1" -eq 0')[0]
    assert f"booleans_unset -s targeted {wanted}" in before_the_guard


def test_former_modules_and_a_former_priority_are_cleared_away() -> None:
    assert "%global wsgisepkg_previous_modules pulp-celery pulp-server pulp-streamer" in spec(
        "02-pulp2"
    )
    lines = [x for x in section(spec("06-candlepin"), "post").splitlines() if "modules_inst" in x]
    assert [re.search(r"-s (\w+) -o 400", line)[1] for line in lines] == [  # type: ignore[index]
        "targeted",
        "mls",
        "minimum",
    ]


def test_each_policy_type_has_its_modules_and_ghosts() -> None:
    files = spec("06-candlepin").partition("\n%files")[2]
    for kind in ("targeted", "mls", "minimum"):
        assert f"%{{_datadir}}/selinux/packages/{kind}/candlepin.pp.bz2" in files
        for module in ("candlepin", "candlepin_ports"):
            assert re.search(rf"(?m)^%ghost .*/{kind}/active/modules/200/{module}$", files)
    assert "%{_datadir}/selinux/devel/include/distributed/candlepin.if" in files
    assert "%{?_selinux_store_path}" in files


def test_a_package_without_booleans_needs_no_python_on_the_target() -> None:
    text = spec("09-cockpit")
    assert re.search(r"(?m)^BuildRequires: +selinux-policy-devel$", text)
    assert re.search(r"(?m)^Requires\(post\): +(libselinux-utils|policycoreutils)$", text)
    assert not re.search(r"(?m)^Requires.*(python|semanage)", text)
