"""What scriptlets do, read from their text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgi_sepkg.package.scriptlets import across, read_scriptlet
from wsgi_sepkg.package.shell import Script

SET_BOOLEANS = """if [ -d /var/lib/selinux/targeted ]; then
  local_ones=$(semanage boolean -E)
  touch /var/lib/selinux/targeted/rpmbooleans.custom
  lines=''
  for item in {values}; do
    lines="${{lines}}\\nboolean -m -${{item#*=}} ${{item%=*}}"
  done
  echo -e "$lines" | semanage import -S targeted || :
fi
"""
UNSET_BOOLEANS = """for item in httpd_use_nfs; do
  grep "$item" /var/lib/selinux/targeted/rpmbooleans.custom || lines="$lines\\n$item"
done
echo -e "$lines" | semanage import -S targeted || :
"""


def codes(body: str, name: str = "post") -> set[str]:
    return {f.code for f in read_scriptlet(name, "/bin/sh", body).findings}


def texts(body: str, name: str = "post") -> list[str]:
    return [e.text for e in read_scriptlet(name, "/bin/sh", body).effects]


def test_the_words_of_the_install_macro_are_explained() -> None:
    body = """_type=targeted
if [ "${SELINUXTYPE}" = "${_type}" ]; then
  /usr/sbin/semodule -n -s ${_type} -X 200 -i /m/a.pp.bz2 /m/b.pp.bz2 || :
  /usr/sbin/selinuxenabled && /usr/sbin/load_policy || :
fi
"""
    reading = read_scriptlet("post", "/bin/sh", body)
    assert [a.name for a in reading.actions] == ["/m/a.pp.bz2", "/m/b.pp.bz2"]
    assert reading.effects[0].text == (
        "puts policy module a (/m/a.pp.bz2) into the policy store at priority 200 of policy type"
        " targeted, not loaded into the kernel yet"
    )
    assert reading.effects[2].when == (
        "when that policy type is the host's",
        "when SELinux is enabled",
    )
    assert reading.findings == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("setsebool -P a=1 b=off", "turns the boolean b off, for good"),
        ("setsebool a on", "turns the boolean a on, until the next boot"),
        ("semanage boolean -m --on a", "turns the boolean a on, for good"),
        ("semanage boolean -d a", "gives the boolean a its default value again"),
        ("semanage port -a -t x_t -p tcp 8001", "gives the port tcp/8001 the type x_t"),
        ("semanage port -d -p udp 9", "takes the local type of the port udp/9 away"),
        ("semanage fcontext -a -t x_t '/a(/.*)?'", "adds the local file context /a(/.*)? with the"),
        ("semanage import <<EOF\nport -a -t x_t -p tcp 7\nEOF\n", "gives the port tcp/7 the type"),
        ("printf 'boolean -m -1 a\\n' | semanage import", "turns the boolean a on"),
        ("restorecon -Ri /srv/app", "gives /srv/app and everything below the label"),
        ("fixfiles -C /x/old restore", "relabels the files whose file context differs"),
        ("fixfiles -R app restore", "relabels all files of the package app"),
        ("systemctl try-restart app.service", "restarts, when it is running: app.service"),
        ("systemd-tmpfiles --create app.conf", "tmpfiles.d names: app.conf"),
        ("useradd -r -s /bin/false app", "creates the user app"),
        ("getent group app || groupadd -r app", "creates the group app"),
        ("chcon -t x_t /a", "changes labels by hand"),
        ("x=$(/usr/sbin/load_policy)", "loads the policy of the policy store"),
        ("semodule -B", "rebuilds or reloads the host's policy"),
        ("semodule -d other", "disables policy module other"),
        ("chmod 4755 /usr/bin/x", "changes the mode to 4755 of /usr/bin/x"),
    ],
)
def test_a_command_is_explained(body: str, said: str) -> None:
    assert any(said in text for text in texts(body)), texts(body)


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("priority-400", "semodule -i a.pp"),
        ("priority-400", "semodule -i a.pp -X 200"),  # -X counts for what follows it
        ("priority-base", "semodule -X 100 -i a.pp"),
        ("install-errors-hidden", "semodule -X 200 -i a.pp >/dev/null 2>&1"),
        ("install-errors-hidden", "semodule -X 200 -i a.pp &> /dev/null"),
        ("install-needs-selinux-on", "if selinuxenabled; then semodule -X 200 -i a.pp; fi"),
        ("several-rebuilds", "semodule -X 200 -i a.pp\nsemodule -X 200 -i b.pp"),
        ("relabel-whole-tree", "restorecon -R /"),
        ("relabel-whole-tree", "restorecon -rv /var/lib/*"),
        ("relabel-whole-tree", "for d in /a /home; do restorecon -R $d; done"),
        ("relabel-whole-tree", "D='/a /etc/'\nrestorecon -R $D"),
        ("relabel-whole-tree", "fixfiles restore"),
        ("relabel-whole-tree", "fixfiles -F onboot"),
        ("relabel-whole-tree", "touch /.autorelabel"),
        ("relabel-whole-tree", "> /.autorelabel"),
        ("relabel-forced", "restorecon -RF /srv/app"),
        ("restorecon-threads", "restorecon -R -T 0 /srv/app"),
        ("chcon", "chcon -t x_t /a"),
        ("runcon", "runcon -t unconfined_t -- ls"),
        ("setenforce", "setenforce 0 || :"),
        ("dontaudit-disabled", "semodule -DB"),
        ("permissive", "semanage permissive -a httpd_t"),
        ("port-unguarded", "semanage port -a -t x_t -p tcp 8001"),
        ("host-equivalence", "semanage fcontext -a -e /var/www /srv/www"),
        ("local-settings-deleted", "semanage port -D"),
        ("config-unguarded", ". /etc/selinux/config"),
        ("selinux-config-edited", "sed -i s/enforcing/disabled/ /etc/selinux/config"),
        ("selinux-config-edited", "echo SELINUX=disabled > /etc/selinux/config"),
        ("selinux-off", "grubby --update-kernel ALL --args selinux=0"),
        ("may-fail", "exit 1"),
        ("may-fail", "set -e\nmkdir /x\nexit 0"),
        ("may-fail", "true && mkdir /x"),
        ("privilege-given", "setcap cap_net_raw+ep /usr/bin/x"),
        ("module-disabled", "semodule -d other"),
    ],
)
def test_a_suspicious_command_is_found(code: str, body: str) -> None:
    assert code in codes(body)


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("relabel-whole-tree", "restorecon -R /var/lib/app /srv/app"),
        ("relabel-whole-tree", "restorecon /var/lib"),
        ("relabel-whole-tree", "# restorecon -R /\necho 'restorecon -R /'"),
        ("relabel-whole-tree", "cat > /a <<EOF\nrestorecon -R /\nEOF\n"),
        ("port-unguarded", "semanage port -m -t x_t 1 || semanage port -a -t x_t 1"),
        ("port-unguarded", "semanage port -a -t x_t 1 || semanage port -m -t x_t 1"),
        ("port-unguarded", "if [ $1 -eq 1 ]; then semanage port -a -t x_t 1; fi"),
        ("config-unguarded", "if [ -e /etc/selinux/config ]; then . /etc/selinux/config; fi"),
        ("config-unguarded", "[ -f /etc/selinux/config ] && . /etc/selinux/config"),
        ("may-fail", "mkdir /x || :"),
        ("may-fail", "mkdir /x && chown a /x || true"),
        ("may-fail", "mkdir /x\nexit 0"),
        ("may-fail", "if true; then mkdir /x || :; fi"),
        ("may-fail", "mkdir /x\nrm -f /y"),
        ("install-needs-selinux-on", "semodule -X 200 -i a; selinuxenabled && load_policy"),
    ],
)
def test_a_harmless_command_is_not_blamed(code: str, body: str) -> None:
    assert code not in codes(body)


@pytest.mark.parametrize(
    ("body", "blamed"),
    [
        ("semodule -X 200 -r a", True),
        ("if [ $1 -eq 0 ]; then semodule -X 200 -r a; fi", False),
        ('[ "$1" = 0 ] && semodule -X 200 -r a || :', False),
        ('if [ "$1" -ge 1 ]; then :; else semodule -X 200 -r a; fi', False),
        ('case "$1" in\n0) semodule -X 200 -r a ;;\nesac', False),
        ('case "$1" in 1) semodule -X 200 -r a ;; esac', True),
        ("if [ $1 -ne 0 ]; then semodule -X 200 -r a; fi", True),
        ("if [ ${1:-0} -lt 1 ]; then semodule -X 200 -r a; fi", False),
    ],
)
def test_a_removal_on_upgrade_is_found_by_the_test_of_its_argument(body: str, blamed: bool) -> None:
    assert ("removed-on-upgrade" in codes(body, "postun")) is blamed


def test_a_port_deleted_on_upgrade_is_found() -> None:
    assert "port-deleted-on-upgrade" in codes("semanage port -d -p tcp 1", "postun")


def test_the_set_booleans_macro_is_recognised() -> None:
    reading = read_scriptlet("post", "/bin/sh", SET_BOOLEANS.format(values="httpd_use_nfs=1"))
    assert [(a.kind, a.name, a.value) for a in reading.actions] == [
        ("boolean-set", "httpd_use_nfs", "1")
    ]


def test_a_value_that_the_macro_does_not_know_is_found() -> None:
    assert "boolean-value" in codes(SET_BOOLEANS.format(values="httpd_use_nfs=on"))


def test_an_unset_macro_behind_a_test_of_the_argument_is_found() -> None:
    assert "unset-booleans-guarded" not in codes(UNSET_BOOLEANS, "postun")
    guarded = f"if [ $1 -eq 0 ]; then\n{UNSET_BOOLEANS}fi\n"
    assert "unset-booleans-guarded" in codes(guarded, "postun")


def together(**bodies: str) -> set[str]:
    return {f.code for f in across([read_scriptlet(n, "/bin/sh", b) for n, b in bodies.items()])}


def test_a_boolean_set_for_good_needs_a_way_back() -> None:
    set_it = SET_BOOLEANS.format(values="httpd_use_nfs=1")
    assert together(post=set_it) == {"boolean-no-way-back"}
    assert together(post=set_it, postun=UNSET_BOOLEANS) == set()
    assert together(post="setsebool -P a=1", postun="setsebool -P a=0") == set()
    assert together(post="setsebool a=1") == set()


def test_a_module_is_removed_at_the_priority_where_it_was_installed() -> None:
    install = "semodule -X 200 -i /m/app.pp.bz2"
    assert together(post=install) == {"never-removed"}
    assert together(post=install, postun="semodule -r app") == {"priority-mismatch"}
    assert together(post=install, postun="semodule -r app -X 200") == {"priority-mismatch"}
    assert together(post=install, postun="semodule -X 200 -r app") == set()


def test_a_relabel_by_comparison_needs_the_copy_of_pre() -> None:
    copy = "cp -f /etc/selinux/targeted/contexts/files/file_contexts /x/old"
    assert together(post="fixfiles -C /x/old restore") == {"relabel-without-pre"}
    assert together(pre=copy, posttrans="fixfiles -C /x/old restore") == set()
    assert together(pre=copy) == {"relabel-copy-unused"}


def test_local_settings_stay_when_nothing_deletes_them() -> None:
    add = "semanage port -a -t x_t -p tcp 1 || :"
    assert together(post=add) == {"port-no-way-back"}
    assert together(post=add, postun="semanage port -d -p tcp 1") == set()


def test_another_language_is_searched_for_names_only() -> None:
    reading = read_scriptlet("post", "<lua>", 'os.execute("restorecon -R /")')
    assert (reading.effects, reading.findings[0].code) == ((), "not-shell")
    assert "restorecon" in reading.findings[0].reason


def test_a_failing_pre_is_worse_than_a_failing_post() -> None:
    (pre,) = read_scriptlet("pre", "/bin/sh", "mkdir /x").findings
    (post,) = read_scriptlet("post", "/bin/sh", "mkdir /x").findings
    assert (pre.severity, post.severity) == ("medium", "low")
    assert "not installed" in pre.reason


def test_commands_that_are_not_explained_are_named() -> None:
    reading = read_scriptlet("post", "/bin/sh", "/opt/app/setup --all\necho hi\n")
    assert reading.other_commands == ("setup",)


def test_lines_are_counted_through_continuations_and_here_documents() -> None:
    body = "a \\\n  b\ncat <<EOF\nx\nEOF\n'q\nq' \nload_policy\n"
    (effect,) = read_scriptlet("post", "/bin/sh", body).effects
    assert effect.line == 8


UNKNOWN = "policy modules that the scriptlet finds out while it runs, at priority 200"


@pytest.mark.parametrize(
    "body",
    [
        "for m in $(sed -n 's/^module //p' /a /b); do semodule -X 200 -r $m; done",
        "gone=`cat /a /b`\nsemodule -X 200 -r $gone",
        'list=\nfor m in $UNKNOWN; do list="$list -r $m"; done\nsemodule -X 200 $list',
    ],
)
def test_a_computed_list_is_told_as_such_once(body: str) -> None:
    (text,) = texts(body)
    assert text.startswith(f"removes {UNKNOWN} from the policy store")


def test_a_substitution_knows_the_variables_outside_of_it() -> None:
    body = "l=/a.pp\nsaid=$(semodule -X 200 -i $l 2>&1) || echo $said"
    assert texts(body)[0].startswith("puts policy module a (/a.pp)")


def test_a_list_that_grows_is_told_name_by_name() -> None:
    body = 'l=\nfor m in a b; do l="$l -r $m"; done\nsemodule -X 200 $l'
    assert [t.split(" at ")[0] for t in texts(body)] == [
        "removes policy module a",
        "removes policy module b",
    ]


@pytest.mark.parametrize(
    "definition",
    ["f() { load_policy; }", "f()\n{\n  load_policy\n}", "function f { load_policy; }"],
)
def test_a_function_counts_where_it_is_called(definition: str) -> None:
    assert texts(definition) == []
    reading = read_scriptlet("post", "/bin/sh", f"{definition}\n\n[ $1 = 2 ] && f")
    (effect,) = reading.effects
    assert effect.line == definition.count("\n") + 3
    assert effect.when == ("on an upgrade, not on the first installation",)
    assert reading.other_commands == ()


def test_the_arguments_of_a_call_are_put_in() -> None:
    body = 'f() { semodule -X 200 -i "$1"; restorecon -R "$@"; }\nfor m in /a /b; do f "$m"; done'
    told = texts(body)
    assert [t.split()[3] for t in told if t.startswith("puts")] == ["a", "b"]
    assert "gives /a, /b and everything below the label of the host's policy" in told


def test_functions_that_call_each_other_end() -> None:
    body = "a() { b; b; }\nb() { a; a; load_policy; }\na"
    assert set(texts(body)) == {"loads the policy of the policy store into the kernel"}


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("selinuxenabled", "when SELinux is enabled"),
        ("on", "when SELinux is enabled"),
        ("! on", "when SELinux is disabled"),
        ("ours", "when the host's policy type is mls"),
        ("! ours", "when the host's policy type is not mls"),
        ("[ ! -f /a ]", "unless /a exists"),
        ("[ $(id -u) = 0 ]", "when run by root"),
        ("command -v foo", "if foo is installed"),
        ("! cmp -s /a /b", "if /a differs from /b"),
        ("grep -q '^a b' /c", "if /c has a line like ^a b"),
        ("[ -d /var/lib/selinux/mls/active/modules ]", "when the host has a policy store"),
        (
            "[ ! -d $s/active/modules/200/app ]",
            "unless module app is in the policy store at priority 200",
        ),
        ("other $(a b c)", "if other $(...)"),
        ("[ $flag ] || other", "if [ $flag ] or other"),
        ("{ ours || [ -z $host ]; }", "when the host's policy type is mls or not known"),
        ("! { ours; }", "when the host's policy type is not mls"),
    ],
)
def test_a_condition_is_put_in_plain_words(condition: str, words: str) -> None:
    body = (
        "on() { selinuxenabled >/dev/null 2>&1; }\ntype=mls\ns=/var/lib/selinux/$type\n"
        "host=$(sed -n s/SELINUXTYPE=//p /etc/selinux/config)\n"
        'ours() { [ "$host" = "$type" ]; }\n'
        f"if {condition}; then load_policy; fi"
    )
    (effect,) = read_scriptlet("post", "/bin/sh", body).effects
    assert effect.when == (words,)


def test_every_earlier_branch_has_failed() -> None:
    body = "if [ -e /a ]; then :; elif ! [ -e /b ]; then :; else load_policy; fi"
    (effect,) = read_scriptlet("post", "/bin/sh", body).effects
    assert effect.when == ("unless /a exists", "if /b exists")


def test_an_early_exit_is_a_condition_of_what_follows() -> None:
    body = '[ "$1" = 0 ] || exit 0\nsemodule -X 200 -r a'
    (effect,) = read_scriptlet("postun", "/bin/sh", body).effects
    assert effect.when == ("when the package is removed, not on an upgrade",)
    assert "removed-on-upgrade" not in codes(body, "postun")


def test_the_other_branch_of_two_tests_is_not_a_test_of_the_argument() -> None:
    body = "if [ $1 -ge 1 ] && [ -e /a ]; then :; else semodule -X 200 -r a; fi"
    assert "removed-on-upgrade" in codes(body, "postun")


def test_a_variable_that_was_set_stands_for_why() -> None:
    body = 'x=\nif [ -e /a ]; then x=$(cat /a); fi\nif [ -n "$x" ]; then load_policy; fi'
    (effect,) = read_scriptlet("post", "/bin/sh", body).effects
    assert effect.when == ("if /a exists",)


def test_a_loop_over_nothing_does_nothing() -> None:
    assert texts("for m in ; do semodule -X 200 -r $m; done") == []


def test_the_same_effect_is_told_once() -> None:
    assert len(texts("load_policy\nload_policy")) == 1
    assert len(texts("load_policy\nselinuxenabled && load_policy")) == 2


MISSING = """say() { echo "app: $*" >&2; }
here=/var/lib/selinux/targeted/active/modules/200/app
if selinuxenabled; then
  if [ ! -d "$here" ]; then say "not active"; bad=1; fi
fi
"""


def test_a_look_into_the_policy_store_is_told() -> None:
    (effect,) = read_scriptlet("posttrans", "/bin/sh", MISSING).effects
    assert effect.text == "says so when a module is not in the policy store"
    assert (effect.line, effect.when) == (4, ("when SELinux is enabled",))
    assert texts(MISSING.replace(">&2", ">/log")) == []


def test_a_verify_scriptlet_may_fail() -> None:
    reading = read_scriptlet("verify", "/bin/sh", f'{MISSING}[ -z "$bad" ] || exit 1\n')
    assert reading.findings == ()
    assert reading.effects[0].text.endswith("policy store, and rpm -V fails then")
    assert codes("mkdir /x", "verify") == set()


def test_a_question_for_a_command_is_no_command() -> None:
    reading = read_scriptlet("post", "/bin/sh", "command -v x >/dev/null && nice -n 5 env A=b y -z")
    assert reading.other_commands == ("y",)


PIECES = """if then else elif fi for in do done case esac ;; ) ( { } && || | & ; ' " ` $( ${ $1 <<E
<<< > 2>&1 &> \\ # a=b $a semodule -i -X x ! semanage port import restorecon -R / exit 1 set -e
f function "$@" $1 return local f()"""
SHELL = st.lists(st.sampled_from([*PIECES.split(), "\n", " "]), max_size=40)


@given(SHELL.map(" ".join) | SHELL.map("".join) | st.text(max_size=200))
def test_any_text_is_read(body: str) -> None:
    Script(body)
    across([read_scriptlet(name, "/bin/sh", body) for name in ("pre", "postun", "trigger -- x")])
