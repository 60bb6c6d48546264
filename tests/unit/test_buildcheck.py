"""The CIL reader, the comparisons and the expectations file: no SELinux needed."""

import ast
import bz2
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgi_sepkg.policy import buildcheck as bc
from wsgi_sepkg.policy.buildcheck import FileCon, PortCon

MODULE = """
; a comment with ( in it
(typealias shop_data_t)
(typealiasactual shop_data_t shop_var_t)
(type shop_t)
(roletype object_r shop_t)
(typepermissive shop_t)
(type shop_var_t)
(typeattribute shop_domains)
(typeattributeset shop_domains (shop_t ))
(boolean shop_mail true)
(roleattributeset cil_gen_require system_r)
(roletype system_r shop_t)
(typeattributeset cil_gen_require domain)
(typeattributeset domain (shop_t ))
(allow shop_t shop_var_t (file (read write)))
(allowx shop_t self (ioctl tcp_socket ((range 0x8910 0x8915) 0x8927)))
(typetransition shop_t shop_var_t file "x (y" shop_var_t)
(typetransition init_t shop_exec_t process shop_t)
(booleanif (and (httpd_can_sendmail) (not (shop_mail)))
    (true (allow shop_t self (capability (chown))))
    (false (dontaudit shop_t self (capability (kill))))
)
(typeattribute shop_typeattr_1)
(typeattributeset shop_typeattr_1 (and (domain ) (not (shop_t ))))
(optional shop_optional_1
    (typeattributeset cil_gen_require mail_t)
    (typeattributeset cil_gen_require domain)
    (allow shop_t mail_t (process2 (nnp_transition)))
    (optional shop_optional_2 (allow shop_t spool_t (dir (search)))))
(filecon "/srv/shop(/.*)?" any (system_u object_r shop_var_t ((s0) (s0))))
(filecon "/srv/shop/none" dir ())
(portcon tcp 8765 (system_u object_r shop_port_t ((s0) (s0))))
(portcon udp (10 20) (system_u object_r shop_port_t ((s0) (s0))))
"""


@pytest.fixture(scope="module")
def cil() -> bc.Cil:
    return bc.read_cil(MODULE)


def test_declarations_are_gathered(cil: bc.Cil) -> None:
    assert cil.types == {"shop_t", "shop_var_t"}
    assert cil.attributes == {"shop_domains", "shop_typeattr_1"}
    assert cil.aliases == {"shop_data_t": "shop_var_t"}
    assert cil.booleans == {"shop_mail": True}
    assert cil.permissive == {"shop_t"}
    assert cil.role_types == [("object_r", "shop_t"), ("system_r", "shop_t")]


def test_rules_carry_condition_branch_and_optional(cil: bc.Cil) -> None:
    found = {(r.kind, r.target, r.condition, r.optional) for r in cil.rules}
    assert ("allow", "self", "[ httpd_can_sendmail && !shop_mail ]:True", "") in found
    assert ("dontaudit", "self", "[ httpd_can_sendmail && !shop_mail ]:False", "") in found
    assert ("allow", "mail_t", "", "shop_optional_1") in found
    assert ("allow", "spool_t", "", "shop_optional_2") in found


def test_extended_permissions_keep_their_ranges(cil: bc.Cil) -> None:
    [rule] = [r for r in cil.rules if r.kind == "allowx"]
    assert rule.cls == "tcp_socket"
    assert rule.perms == {"0x8910-0x8915", "0x8927"}


def test_a_name_in_a_transition_may_hold_a_parenthesis(cil: bc.Cil) -> None:
    assert [t.name for t in cil.transitions] == ["x (y", ""]


def test_simple_attribute_sets_are_members_and_others_stay_text(cil: bc.Cil) -> None:
    assert cil.attribute_members == {"shop_domains": {"shop_t"}, "domain": {"shop_t"}}
    assert cil.attribute_expressions == {"shop_typeattr_1": ["(and (domain) (not (shop_t)))"]}


def test_contexts_and_ports(cil: bc.Cil) -> None:
    assert cil.filecons == [
        FileCon("/srv/shop(/.*)?", "any", "shop_var_t"),
        FileCon("/srv/shop/none", "dir", "<<none>>"),
    ]
    assert cil.portcons == [
        PortCon("tcp", 8765, 8765, "shop_port_t"),
        PortCon("udp", 10, 20, "shop_port_t"),
    ]


def test_requirements_tell_optional_ones_apart(cil: bc.Cil) -> None:
    assert cil.required["type"] == {"domain", "init_t", "shop_exec_t", "shop_port_t"}
    assert cil.required_optional["type"] == {"mail_t", "spool_t"}
    assert cil.requirements["type", "spool_t"] == {"shop_optional_2"}
    assert cil.required["bool"] == {"httpd_can_sendmail"}
    assert cil.required["role"] == {"object_r", "system_r"}
    assert {"file:read", "capability:kill", "tcp_socket:ioctl"} <= cil.required["permission"]
    assert cil.required_optional["permission"] == {"process2:nnp_transition", "dir:search"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(type a)\n(type b", "line 2"),
        ("(type a))", "line 1"),
        ('(filecon "/a any ())', "quote"),
        ("(allow a b)", "cannot read"),
        ("(portcon tcp many (u r t ()))", "cannot read"),
    ],
)
def test_broken_cil_is_a_typed_error(text: str, message: str) -> None:
    with pytest.raises(bc.CilError, match=message):
        bc.read_cil(text)


SYMBOL = st.from_regex(r"[a-z][a-z0-9_.]{0,8}", fullmatch=True)
STRING = st.text(st.characters(codec="utf-8", exclude_characters='"\n\r'), max_size=12)
GAP = st.sampled_from([" ", "\n", "\t ", " ; a ) comment (\n", "\n\n"])


@given(
    st.recursive(SYMBOL, lambda inner: st.lists(inner, max_size=4), max_leaves=20).filter(
        lambda node: isinstance(node, list)
    ),
    GAP,
)
def test_any_nesting_survives_writing_and_parsing(node: list, gap: str) -> None:
    def write(part: object) -> str:
        return part if isinstance(part, str) else f"({gap.join(write(p) for p in part)}{gap})"

    assert bc.parse_cil(gap + write(node)) == [node]


NAME = SYMBOL.filter(lambda s: s not in bc._OPERATORS and "." not in s)


@given(
    st.lists(
        st.builds(
            bc.Rule,
            st.sampled_from(["allow", "dontaudit", "auditallow", "neverallow"]),
            NAME,
            NAME,
            NAME,
            st.frozensets(NAME, min_size=1, max_size=4),
            st.sampled_from(["", "[ b1 ]:True", "[ b1 || !b2 ]:False"]),
            st.sampled_from(["", "opt_1"]),
        ),
        max_size=5,
    ),
    st.lists(st.builds(FileCon, STRING, st.sampled_from(["any", "file", "dir"]), NAME), max_size=4),
    st.lists(
        st.builds(PortCon, st.just("tcp"), st.integers(1, 90), st.integers(91, 65535), NAME),
        max_size=3,
    ),
)
def test_statements_survive_writing_and_reading(
    rules: list[bc.Rule], filecons: list[FileCon], ports: list[PortCon]
) -> None:
    lines = []
    for rule in rules:
        perms = " ".join(sorted(rule.perms))
        text = f"({rule.kind} {rule.source} {rule.target} ({rule.cls} ({perms})))"
        if rule.condition:
            expression = "(b1)" if "||" not in rule.condition else "(or (b1) (not (b2)))"
            branch = rule.condition.rpartition(":")[2].lower()
            text = f"(booleanif {expression} ({branch} {text}))"
        if rule.optional:
            text = f"(optional {rule.optional}\n {text})"
        lines.append(text)
    lines += [f'(filecon "{f.pattern}" {f.ftype} (u r {f.type} ((s0) (s0))))' for f in filecons]
    lines += [f"(portcon tcp ({p.low} {p.high}) (u r {p.type} ((s0) (s0))))" for p in ports]
    cil = bc.read_cil("\n".join(lines))
    assert (cil.rules, cil.filecons, cil.portcons) == (rules, filecons, ports)


POLICY = """(handleunknown allow)
(class file (entrypoint))
(class process2 (nnp_transition))
(classcommon file file)
(common file (read write))
(type httpd_t)
(typeattribute domain)
(typealias apache_t)
(typealiasactual apache_t httpd_t)
(boolean httpd_can_sendmail false)
(role system_r)
(user system_u)
(allow httpd_t httpd_t (file (read)))
(optional apache_optional_2
    (type in_an_optional_t)
)
(portcon tcp 8765 (system_u object_r lirc_port_t ((s0) (s0))))
(portcon tcp (1024 65535) (system_u object_r unreserved_port_t ((s0) (s0))))
"""


@pytest.fixture(scope="module")
def names() -> bc.Names:
    return bc.read_cil_names(POLICY)


def test_names_of_a_policy(names: bc.Names) -> None:
    assert names.types == {"httpd_t", "in_an_optional_t"}
    assert names.aliases == {"apache_t"}
    assert names.booleans == {"httpd_can_sendmail"}
    assert names.users == {"system_u"}
    assert names.classes == {
        "file": {"entrypoint", "read", "write"},
        "process2": {"nnp_transition"},
    }
    assert names.portcons == [
        PortCon("tcp", 8765, 8765, "lirc_port_t"),
        PortCon("tcp", 1024, 65535, "unreserved_port_t"),
    ]


def test_missing_names_of_every_kind(names: bc.Names) -> None:
    required = {
        "type": ["httpd_t", "domain", "apache_t", "nosuch_t"],
        "bool": ["httpd_can_sendmail", "nosuch"],
        "role": ["nosuch_r"],
        "class": ["io_uring"],
        "permission": ["file:read", "file:map", "io_uring:cmd"],
    }
    assert bc.missing_names(required, names) == [
        ("bool", "nosuch"),
        ("class", "io_uring"),
        ("permission", "file:map"),
        ("role", "nosuch_r"),
        ("type", "nosuch_t"),
    ]


def test_redeclared_names(names: bc.Names) -> None:
    own = bc.read_cil("(type httpd_t)(type own_t)(boolean httpd_can_sendmail true)")
    assert bc.redeclared(own, names) == [("type", "httpd_t"), ("bool", "httpd_can_sendmail")]


def test_modules_may_need_one_another(names: bc.Names) -> None:
    one = bc.read_cil("(type shop_port_t)")
    other = bc.read_cil("(portcon tcp 8000 (system_u system_r shop_port_t ((s0) (s0))))")
    assert bc.missing_names(other.required, names) == [("type", "shop_port_t")]
    assert bc.missing_names(other.required, bc.with_modules(names, [one])) == []


@pytest.mark.parametrize(
    ("own", "base", "collides"),
    [
        (("/a", "any", "x_t"), ("/a", "any", "y_t"), True),
        (("/a", "file", "x_t"), ("/a", "any", "y_t"), True),
        (("/a", "any", "x_t"), ("/a", "dir", "y_t"), True),
        (("/a", "file", "x_t"), ("/a", "dir", "y_t"), False),
        (("/a", "any", "x_t"), ("/a", "any", "x_t"), False),
        (("/a", "any", "x_t"), ("/a(/.*)?", "any", "y_t"), False),
        (("/a", "any", "x_t"), ("/a", "any", "<<none>>"), True),
    ],
)
def test_a_collision_is_one_regex_with_two_types(own: tuple, base: tuple, collides: bool) -> None:
    found = bc.context_collisions([FileCon(*own)], [("apache", FileCon(*base))])
    assert [hit.module for hit in found] == (["apache"] if collides else [])


@pytest.mark.parametrize(
    ("own", "base", "kind"),
    [
        (("tcp", 80, 80, "x_t"), ("tcp", 80, 80, "y_t"), "equal"),
        (("tcp", 80, 80, "x_t"), ("tcp", 80, 80, "x_t"), None),
        (("tcp", 80, 80, "x_t"), ("udp", 80, 80, "y_t"), None),
        (("tcp", 80, 80, "x_t"), ("tcp", 70, 90, "y_t"), "inside"),
        (("tcp", 70, 90, "x_t"), ("tcp", 80, 80, "y_t"), "wider"),
        (("tcp", 70, 90, "x_t"), ("tcp", 90, 99, "y_t"), "crossing"),
        (("tcp", 70, 89, "x_t"), ("tcp", 90, 99, "y_t"), None),
        (("tcp", 8080, 8080, "x_t"), ("tcp", 1024, 65535, "unreserved_port_t"), None),
    ],
)
def test_port_clashes(own: tuple, base: tuple, kind: str | None) -> None:
    found = bc.port_clashes([PortCon(*own)], [PortCon(*base)])
    assert [hit.kind for hit in found] == ([kind] if kind else [])


def test_file_contexts_text() -> None:
    text = (
        "# comment\n/\t\tsystem_u:object_r:root_t:s0\n"
        "/srv/x(/.*)?\t--\tsystem_u:object_r:x_t:s0\n/mnt/[^/]*/.*\t<<none>>\n"
        "/dev/log -s system_u:object_r:devlog_t:s15:c0.c1023\n"
    )
    assert bc.read_file_contexts(text) == [
        FileCon("/", "any", "root_t"),
        FileCon("/srv/x(/.*)?", "file", "x_t"),
        FileCon("/mnt/[^/]*/.*", "any", "<<none>>"),
        FileCon("/dev/log", "socket", "devlog_t"),
    ]


def test_expectations_are_read() -> None:
    text = """{"expect": [
      {"deny": {"source": "a_t", "target": "b_t", "class": "file", "permissions": ["read"]},
       "key": "k", "reason": "r"},
      {"path": "/a", "file-type": "dir", "type": "x_t"}],
      "booleans": {"b": true}, "module": {"name": "shop", "priority": 210}}"""
    found = bc.parse_expectations(text)
    assert [str(e) for e in found.expect] == ["deny a_t b_t:file { read } [k]", "/a (dir) is x_t"]
    assert (found.name, found.priority, found.booleans) == ("shop", 210, {"b": True})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting"),
        ("[]", "attribute"),
        ('{"expect": [{}]}', r"\$\.expect\[0\]"),
        ('{"expect": [{"path": "/a", "file-type": "fifo", "type": "t"}]}', "file-type"),
        ('{"booleans": {"b": 1}}', "true or false"),
        ('{"module": {"priority": "high"}}', r"\$\.module"),
    ],
)
def test_a_wrong_expectations_file_is_a_typed_error(text: str, message: str) -> None:
    with pytest.raises(bc.ExpectationError, match=message):
        bc.parse_expectations(text)


def make_store(root: Path, kind: str, parent: str = "var/lib/selinux") -> None:
    (root / "etc/selinux" / kind / "contexts").mkdir(parents=True)
    (root / "etc/selinux" / kind / "policy").mkdir()
    for number in (9, 31, 33):
        (root / "etc/selinux" / kind / f"policy/policy.{number}").touch()
    (root / parent / kind / "active/modules/100/base").mkdir(parents=True)


def test_the_wanted_policy_type_is_preferred_to_the_configured_one(tmp_path: Path) -> None:
    for kind in ("mls", "targeted"):
        make_store(tmp_path, kind)
    (tmp_path / "etc/selinux/config").write_text("# SELINUXTYPE=x\nSELINUXTYPE=mls\n")
    assert bc.find_store(str(tmp_path), "targeted").policy_type == "targeted"
    assert bc.find_store(str(tmp_path), "default").policy_type == "mls"
    found = bc.find_store(str(tmp_path))
    assert found.policy.endswith("mls/policy/policy.33")
    assert found.readable


def test_store_root_of_rpm_ostree_is_honoured(tmp_path: Path) -> None:
    make_store(tmp_path, "targeted", "etc/selinux")
    (tmp_path / "etc/selinux/config").write_text("SELINUXTYPE=targeted\n")
    (tmp_path / "etc/selinux/semanage.conf").write_text("store-root=/etc/selinux\n")
    found = bc.find_store(str(tmp_path))
    assert found.store_root == "/etc/selinux"
    copy = bc.scratch_copy(found, str(tmp_path / "copy"))
    assert bc.active_modules(copy) == {"base": 100}


def test_no_policy_at_all(tmp_path: Path) -> None:
    with pytest.raises(bc.StoreMissingError):
        bc.find_store(str(tmp_path))


def test_the_highest_priority_wins_and_disabled_modules_are_left_out(tmp_path: Path) -> None:
    make_store(tmp_path, "t")
    modules = tmp_path / "var/lib/selinux/t/active/modules"
    old = '(filecon "/old" any (u object_r a_t ((s0) (s0))))'
    new = '(filecon "/new" file ())\n(filecon "/b" dir (u object_r b_t ((s0) (s0))))'
    for place, text in (("100/a", old), ("400/a", new), ("100/off", old)):
        (modules / place).mkdir(parents=True)
        (modules / place / "cil").write_bytes(bz2.compress(text.encode()))
    (modules / "disabled").mkdir()
    (modules / "disabled/off").touch()
    store = bc.find_store(str(tmp_path))
    assert bc.active_modules(store) == {"base": 100, "a": 400}
    assert bc.store_contexts(store) == [
        ("a", FileCon("/new", "file", "<<none>>")),
        ("a", FileCon("/b", "dir", "b_t")),
    ]


def test_nothing_installed_is_no_failure_but_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = tmp_path / "shop-ports.cil"
    ports.write_text("(portcon tcp 8000 (u r t ((s0) (s0))))")
    assert bc.main(["--ports", str(ports), "--selinux-root", str(tmp_path)]) == 0
    assert "NOT CHECKED" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [[], ["--module", "/nonexistent/shop.pp"], ["--module", __file__], ["--nonsense"]],
)
def test_wrong_usage_is_status_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = bc.main(argv)
    except SystemExit as exc:  # argparse
        status = exc.code
    assert status == 2
    assert capsys.readouterr().err


def test_broken_cil_is_a_failed_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / "shop.cil"
    module.write_text("(type a")
    assert bc.main(["--module", str(module), "--selinux-root", str(tmp_path)]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_the_c_locale_of_a_build_root_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    bc.Report().failed("na\u00efve")
    assert raw.getvalue() == b"FAILED       na\\xefve\n"


def test_keep_refuses_a_root_that_is_not_its_own(tmp_path: Path) -> None:
    module = tmp_path / "shop.cil"
    module.write_text("(type a_t)")
    (tmp_path / "keep/root").mkdir(parents=True)
    assert bc.main(["--module", str(module), "--keep", str(tmp_path / "keep")]) == 2
    assert (tmp_path / "keep/root").is_dir()


def test_the_file_stays_readable_for_python_3_6() -> None:
    """No walrus, no positional-only arguments, no standard module that came later."""
    source = Path(bc.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 6))
    imported = {n.names[0].name for n in ast.walk(tree) if isinstance(n, ast.Import)}
    imported |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not {name for name in imported if name.startswith(("wsgi_sepkg", "__future__"))}
    assert "dataclasses" not in imported
    assert "capture_output" not in source
    assert "text=True" not in source
