"""What a description means in policy."""

from __future__ import annotations

from wsgi_sepkg import targets
from wsgi_sepkg.policy.derive import derive
from wsgi_sepkg.policy.model import Policy
from wsgi_sepkg.policy.render import statement_text
from wsgi_sepkg.project import names
from wsgi_sepkg.project.load import load


def policy_of(folder, target="debian-12") -> Policy:
    loaded = load(folder, target)
    return derive(loaded.description, loaded.target)


def lines(policy: Policy) -> set[str]:
    return {
        (f"{s.tunable}: " if s.tunable else "") + statement_text(s.body) for s in policy.statements
    }


def promised(policy: Policy, allow: bool, target: str) -> set[str]:
    return {
        p for x in policy.promises if x.allow is allow and x.target == target for p in x.permissions
    }


def test_the_application_reads_its_code_and_may_not_write_it(project):
    policy = policy_of(project())
    assert "read_files_pattern(httpd_t, shop_content_t, shop_content_t)" in lines(policy)
    assert not any("manage" in line and "content_t" in line for line in lines(policy))
    assert promised(policy, False, "shop_content_t") >= {"write", "append", "create"}
    assert "shop_content_t" in policy.read_only_types


def test_media_is_written_and_served_but_never_executed(project):
    policy = policy_of(project())
    assert "manage_dirs_pattern(httpd_t, shop_media_t, shop_media_t)" in lines(policy)
    assert promised(policy, True, "shop_media_t") >= {"write", "create", "unlink", "map"}
    assert "execute" in promised(policy, False, "shop_media_t")


def test_a_log_is_appended_to_and_not_changed(project):
    policy = policy_of(project('log = "/var/log/shop"\n'))
    assert "append_files_pattern(httpd_t, shop_log_t, shop_log_t)" in lines(policy)
    assert promised(policy, False, "shop_log_t") >= {"write", "unlink"}
    assert "logging_search_logs(httpd_t)" in lines(policy)


def test_each_use_gets_a_type_of_its_own(project):
    uses = {
        "static": "/usr/share/shop/static",
        "data": "/var/lib/shop/db",
        "log": "/var/log/shop",
        "cache": "/var/cache/shop",
        "config": "/etc/shop",
        "secret": "/etc/shop/key",
        "runtime": "/run/shop",
        "temporary": "/var/lib/shop/tmp",
    }
    policy = policy_of(project("".join(f'{k} = "{v}"\n' for k, v in uses.items())))
    assert {t.name for t in policy.types} == {
        f"shop_{w}_t"
        for w in "content static media data log cache config secret runtime tmp".split()
    }


def test_a_runtime_folder_is_labelled_in_both_spellings(project):
    policy = policy_of(project('runtime = "/run/shop"\n'))
    assert {c.pattern for c in policy.contexts} >= {"/run/shop(/.*)?", "/var/run/shop(/.*)?"}


def test_a_secret_is_labelled_as_a_file_and_is_no_interface_to_manage(project):
    policy = policy_of(project('config = "/etc/shop"\nsecret = "/etc/shop/secret.key"\n'))
    (context,) = [c for c in policy.contexts if c.type == "shop_secret_t"]
    assert (context.pattern, context.file_type) == (r"/etc/shop/secret\.key", "file")
    assert not any(i.name == "shop_manage_secret" for i in policy.interfaces)


def test_a_path_that_the_base_policy_labels_keeps_its_label(project):
    policy = policy_of(project('config = "/etc/mailman3"\n'))
    (path,) = [p for p in policy.paths if p.use == "config"]
    assert (path.type, path.kept_by) == ("mailman_data_t", "mailman")
    assert not any(c.pattern.startswith("/etc/mailman3") for c in policy.contexts)


def test_a_reason_to_override_relabels_it(project):
    said = 'config = { path = "/etc/mailman3", override = "it is the shop\'s" }\n'
    policy = policy_of(project(said))
    assert any(c.pattern == "/etc/mailman3(/.*)?" for c in policy.contexts)


def test_a_connection_is_a_tunable_of_our_own_by_default(project):
    said = '[[connect]]\nto = "postgresql"\nreason = "orders"\n'
    policy = policy_of(project(said))
    line = "shop_connect_postgresql: corenet_tcp_connect_postgresql_port(httpd_t)"
    assert line in lines(policy)
    (tunable,) = policy.tunables
    assert (tunable.name, tunable.default) == ("shop_connect_postgresql", True)
    assert promised(policy, True, "postgresql_port_t") == {"name_connect"}


def test_a_tunable_that_is_off_promises_nothing(project):
    said = '[[connect]]\nto = "smtp"\ndefault = false\nreason = "mail"\n'
    policy = policy_of(project(said))
    assert promised(policy, True, "smtp_port_t") == set()
    assert policy.tunables[0].default is False


def test_a_connection_as_a_rule_has_no_tunable(project):
    said = '[[connect]]\nto = "redis"\nthrough = "rule"\nreason = "cache"\n'
    policy = policy_of(project(said))
    assert "corenet_tcp_connect_redis_port(httpd_t)" in lines(policy)
    assert policy.tunables == ()


def test_a_connection_through_a_boolean_grants_nothing_itself(project):
    said = '[[connect]]\nto = "postgresql"\nthrough = "boolean"\nreason = "orders"\n'
    policy = policy_of(project(said))
    assert not any("postgresql" in line for line in lines(policy))
    (boolean,) = policy.booleans
    assert (boolean.name, boolean.value, boolean.when) == (
        "httpd_can_network_connect_db",
        True,
        "first-install",
    )


def test_the_family_decides_the_name_of_a_boolean(project):
    said = '[[connect]]\nto = "memcached"\nthrough = "boolean"\nreason = "cache"\n'
    folder = project(said)
    assert policy_of(folder).booleans[0].name == "httpd_can_network_connect_memcache"
    assert policy_of(folder, "el9").booleans[0].name == "httpd_can_network_memcache"


def test_a_free_port_gets_a_type_and_a_label_of_its_own(project):
    said = "[[connect]]\nport = 9199\nreason = 'search'\n"
    policy = policy_of(project(said))
    (label,) = policy.ports
    assert (label.low, label.high, label.type) == (9199, 9199, "shop_9199_port_t")
    rule = "shop_connect_port_9199: allow httpd_t shop_9199_port_t:tcp_socket name_connect;"
    assert rule in lines(policy)
    assert policy.ports_module == "shop_ports"


def test_a_port_of_the_base_policy_is_used_under_its_own_type(project):
    said = "[[connect]]\nport = 8765\nreason = 'remote control'\n"
    policy = policy_of(project(said))
    assert policy.ports == ()
    assert any("lirc_port_t:tcp_socket name_connect" in line for line in lines(policy))


def test_rules_that_name_foreign_types_are_optional(project):
    policy = policy_of(project())
    assert all(s.optional for s in policy.statements if s.types)
    named = [s for s in policy.statements if "httpd_t" in statement_text(s.body)]
    assert named
    assert all("httpd_t" in s.types for s in named)


def test_systemd_tmpfiles_may_make_the_folders_that_the_package_names(project):
    """Measured on an enforcing kernel: without it the folder is not made at boot."""
    folder = project('log = "/var/log/shop"\n')
    assert {x for x in lines(policy_of(folder)) if "tmpfilesd" in x} == {
        "systemd_tmpfilesd_managed(shop_log_t)",
        "systemd_tmpfilesd_managed(shop_media_t)",
    }
    assert not any("tmpfilesd" in x for x in lines(policy_of(folder, "el9")))


def test_an_optional_rule_gives_up_a_permission_that_the_class_lacks(project):
    said = (
        '[[allow]]\nsource = "httpd_t"\ntarget = "shop_media_t"\nclass = "file"\n'
        'permissions = ["read", "watch_everything"]\noptional = true\nreason = "newer kernels"\n'
    )
    policy = policy_of(project(said))
    assert "allow httpd_t shop_media_t:file read;" in lines(policy)


def test_expectations_become_promises(project):
    said = (
        '[[expect]]\ndeny = { source = "httpd_t", target = "shop_content_t", class = "file", '
        'permissions = ["write"] }\n[[expect]]\npath = "/var/lib/shop/media/a.jpg"\n'
        'type = "shop_media_t"\n'
    )
    policy = policy_of(project(said))
    assert any(p.why.key == "expect[0]" and not p.allow for p in policy.promises)
    assert any(x.why.key == "expect[1]" and x.type == "shop_media_t" for x in policy.labels)


def test_the_order_of_entries_never_changes_the_meaning(project):
    one = '[[connect]]\nto = "smtp"\nreason = "m"\n'
    two = '[[connect]]\nto = "redis"\nreason = "c"\n'
    first, second = policy_of(project(one + two)), policy_of(project(two + one))
    assert lines(first) == lines(second)
    assert {t.name for t in first.tunables} == {t.name for t in second.tunables}


def test_the_patterns_of_a_family_that_lacks_one_are_written_in_two_steps(project):
    policy = policy_of(project(), "el9")
    assert "allow httpd_t shop_media_t:file map;" in lines(policy)
    assert "manage_files_pattern(httpd_t, shop_media_t, shop_media_t)" in lines(policy)


def test_the_last_matching_context_of_the_base_policy_wins():
    facts = targets.load("debian-12").facts
    assert names.label_of(facts, "/var/www/html/index.html") == ("httpd_sys_content_t", "apache")
    assert names.label_of(facts, "/usr/share/shop/x") == ("usr_t", "base")
    assert names.label_of(facts, "/etc/mailman3/mailman.cfg") == ("mailman_data_t", "mailman")


def test_port_ranges_are_read_and_refused():
    assert names.port_range(8000) == (8000, 8000)
    assert names.port_range("8000-8010") == (8000, 8010)
