#!/bin/sh
# Installs what the tests and the demo need: packages of the system, and .venv with the project.
#
#   tools/setup.sh             bring everything up to date; silent when there is nothing to do
#   tools/setup.sh --packages [NAME...]
#                              only packages of the system, all or these (needs root; used through
#                              sudo)
#
# Exit status: 0 done, 2 wrong usage, 3 something is missing and cannot be installed from here.
set -eu

# apt name | dnf name ("-": not in Fedora, or part of another package) | what needs it
packages() {
    cat <<'TABLE'
python3-venv              | python3                   | makes .venv
python3-pip               | python3-pip               | installs bundled wheels in a build
checkpolicy               | checkpolicy               | checkmodule, the policy compiler
policycoreutils           | policycoreutils           | semodule, and hll/pp to read a .pp as CIL
semodule-utils            | -                         | semodule_package, links contexts into a .pp
selinux-policy-default    | selinux-policy-targeted   | the base policy that modules are linked with
selinux-policy-dev        | selinux-policy-devel      | the interfaces and Makefile to build modules
selinux-utils             | libselinux-utils          | matchpathcon, asks file contexts
setools                   | setools-console           | sesearch, asks rules of a linked policy
python3-setools           | python3-setools           | the same, from Python
python3-selinux           | python3-libselinux        | the same labels that rpm would set
python3-rpm               | python3-rpm               | labelCompare, and specfile's parser
rpm                       | rpm-build                 | rpmbuild
dnf                       | dnf                       | solves dependencies of built packages
createrepo-c              | createrepo_c              | repository metadata of built packages
selint                    | -                         | style checks of generated policy
shellcheck                | ShellCheck                | checks our shell scripts and the scriptlets
m4                        | m4                        | the macro processor of the policy language
make                      | make                      | runs the Makefiles, ours and the policy's
bzip2                     | bzip2                     | compresses the .pp
gawk                      | gawk                      | used by the policy's Makefile
python3-django            | python3-django            | the examples are real applications
python3-pil               | python3-pillow            | pictures in the guestbook example
apache2                   | httpd                     | checks generated httpd configuration
libapache2-mod-wsgi-py3   | python3-mod_wsgi          | the same, with the WSGI directives
dash                      | dash                      | scriptlets must run in a plain sh
mailman3-web              | -                         | a large Django site to discover
python3-gssapi            | python3-gssapi            | Kerberos for the Koji client
git                       | git-core                  | versions and snapshots from tags
file                      | file-libs                 | libmagic, which rpmlint loads
qemu-system-x86           | qemu-system-x86-core      | the machine with an enforcing kernel
qemu-utils                | qemu-img                  | disks of that machine
debootstrap               | debootstrap               | its image, from Debian's packages
e2fsprogs                 | e2fsprogs                 | its file system
grub-common               | grub2-tools-minimal       | makes that image boot by itself, for the tests
grub-pc-bin               | grub2-pc-modules          | the same
libenchant-2-2            | enchant2                  | the spelling checks of rpmlint
TABLE
}

# Much to install, and nothing that Python would import: .venv is made meanwhile.
beside='apache2 debootstrap e2fsprogs grub-common grub-pc-bin qemu-system-x86 qemu-utils'
beside="$beside selint selinux-policy-default selinux-policy-dev"

policy_rc_d=/usr/sbin/policy-rc.d

say() { printf 'setup: %s\n' "$*" >&2; }

die() {
    say "$1"
    shift
    for line in "$@"; do printf '    %s\n' "$line" >&2; done
    exit 3
}

# Which package manager owns this system: dnf may be installed on Debian too, and apt on Fedora.
manager() {
    if [ -s /var/lib/dpkg/status ] && command -v apt-get >/dev/null 2>&1; then
        echo apt
    elif command -v dnf >/dev/null 2>&1; then
        echo dnf
    else
        echo none
    fi
}

wanted() {
    case $1 in
        apt) packages | awk -F ' *[|] *' '{ print $1 }' ;;
        dnf) packages | awk -F ' *[|] *' '$2 != "-" { print $2 }' ;;
    esac
}

missing() {
    case $1 in
        apt)
            # One call; a name that dpkg never heard of is an error of it, and missing for us.
            # shellcheck disable=SC2046,SC2016 # names without blanks; dpkg expands the format
            { dpkg-query -W -f '${db:Status-Status} ${Package}\n' $(wanted apt) 2>/dev/null || :
              wanted apt; } |
                awk '$1 == "installed" { have[$2]; next } NF == 1 && !($1 in have) { print $1 }'
            ;;
        dnf)
            # shellcheck disable=SC2046
            { rpm -q --qf '[installed %{PROVIDENAME}\n]' --whatprovides $(wanted dnf) 2>/dev/null || :
              wanted dnf; } |
                awk '$1 == "installed" { have[$2]; next } NF == 1 && !($1 in have) { print $1 }'
            ;;
    esac
}

one_line() { tr '\n' ' ' | sed 's/ $//'; }

reasons() {
    for name in "$@"; do
        packages | awk -F ' *[|] *' -v name="$name" \
            '$1 == name || $2 == name { printf "%-24s %s\n", name, $3; exit }'
    done
}

install_command() {
    case $1 in
        apt) echo "apt-get install --no-install-recommends $2" ;;
        dnf) echo "dnf install --setopt=install_weak_deps=False $2" ;;
    esac
}

# --- as root ---------------------------------------------------------------------------------

apt_install() {
    # "No service may be started" for invoke-rc.d(8), unless the administrator has a rule already.
    if [ ! -e "$policy_rc_d" ] && [ ! -L "$policy_rc_d" ]; then
        trap 'rm -f "$policy_rc_d"' EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM HUP
        printf '#!/bin/sh\nexit 101\n' >"$policy_rc_d"
        chmod 755 "$policy_rc_d"
    fi
    # Default answers for every question; mailman3-web takes an SQLite database then.
    export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
    for attempt in 1 2; do
        apt-get -q -o DPkg::Lock::Timeout=300 update || say "apt-get update failed, going on"
        # An interrupted installation before this one would stop apt.
        dpkg --configure -a || :
        # shellcheck disable=SC2086 # a list of names
        if apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold \
            install --no-install-recommends $1; then
            return 0
        fi
        [ "$attempt" = 2 ] || { say "apt-get failed, one more attempt"; sleep 5; }
    done
    return 1
}

dnf_install() {
    for attempt in 1 2; do
        # shellcheck disable=SC2086 # a list of names
        if dnf -q -y --setopt=install_weak_deps=False install $1; then return 0; fi
        [ "$attempt" = 2 ] || { say "dnf failed, one more attempt"; sleep 5; }
    done
    return 1
}

# Debian enables a service when its package is installed; it would run after the next boot.
no_service_at_boot() {
    command -v systemctl >/dev/null 2>&1 || return 0
    for service in apache2 mailman3-web; do
        case " $1 " in
            *" $service "*) systemctl disable "$service" >/dev/null 2>&1 || : ;;
        esac
    done
}

# install_packages NAME...: install them, and make sure that they are there
install_packages() {
    [ $# -gt 0 ] || return 0
    kind=$(manager)
    names="$*"
    say "installing $names"
    log=$(mktemp)
    if (umask 022 && "${kind}_install" "$names") >"$log" 2>&1; then
        rm -f "$log"
        no_service_at_boot "$names"
    else
        tail -n 25 "$log" >&2
        die "the installation failed; its whole output is in $log" "$(install_command "$kind" "$names")"
    fi
    left=$(missing "$kind" | grep -x -F "$(printf '%s\n' "$@")" | one_line)
    [ -z "$left" ] || die "still missing: $left" "$(install_command "$kind" "$left")"
}

# --- as the user -----------------------------------------------------------------------------

ensure_packages() {
    kind=$(manager)
    if [ "$kind" = none ]; then
        die "this system has neither apt nor dnf; install by hand what provides:" "$(packages)"
    fi
    names=$(missing "$kind" | one_line)
    [ -n "$names" ] || return 0
    if [ "$(id -u)" != 0 ] && ! { command -v sudo && sudo -n true; } >/dev/null 2>&1; then
        say "these packages are missing, and neither root nor sudo without a password is at hand:"
        # shellcheck disable=SC2086 # a list of names
        reasons $names | sed 's/^/    /' >&2
        die "run this as root, then try again:" "$(install_command "$kind" "$names")"
    fi
    first='' later=''
    for name in $names; do
        case " $beside " in
            *" $name "*) later="$later $name" ;;
            *) first="$first $name" ;;
        esac
    done
    # shellcheck disable=SC2086 # lists of names
    [ -z "$first" ] || as_root $first
    # shellcheck disable=SC2086
    [ -z "$later" ] || { as_root $later & rest=$!; }
    # Nothing ends before that does, whatever becomes of .venv.
    trap wait EXIT
}

as_root() {
    if [ "$(id -u)" = 0 ]; then install_packages "$@"; else sudo -n /bin/sh "$self" --packages "$@"; fi
}

# The system's Python, whose rpm and SELinux bindings .venv shares; a newer one where it is too old.
find_python() {
    for candidate in /usr/bin/python3 $(printf '%s\n' /usr/bin/python3.1[1-9] | sort -r -V); do
        if [ -x "$candidate" ] &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    case $(manager) in
        dnf) die "no Python 3.11 or newer in /usr/bin" "dnf install python3.12" ;;
        *) die "no Python 3.11 or newer in /usr/bin" "use Debian 12, Ubuntu 24.04 or newer" ;;
    esac
}

# .venv works, and belongs to this folder: a copied one would install into the original.
venv_is_good() {
    [ -x "$venv/bin/python" ] && [ -x "$venv/bin/pip" ] &&
        head -n 3 "$venv/bin/pip" | grep -q -F "$venv/bin/python" &&
        "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# What .venv depends on: the lists, its place, and the interpreter behind it.
fingerprint() {
    { cat "$self" "$root/pyproject.toml"; echo "$root"; readlink -f "$venv/bin/python" || :; } |
        sha256sum
}

ensure_venv() {
    want=$(fingerprint)
    if [ -f "$venv/.setup-stamp" ] && [ "$(cat "$venv/.setup-stamp")" = "$want" ] &&
        [ -x "$venv/bin/python" ]; then
        return 0
    fi
    if ! venv_is_good; then
        python=$(find_python)
        say "making .venv with $python"
        "$python" -m venv --clear --system-site-packages "$venv" ||
            die "cannot make .venv" "$python -m venv --clear --system-site-packages .venv"
    fi
    say "installing the project and its tools into .venv"
    log=$(mktemp)
    for attempt in 1 2; do
        # pip keeps its downloads in its own cache, outside the tree.
        if (cd "$root" && "$venv/bin/python" -m pip install --disable-pip-version-check \
            --quiet --editable '.[dev]') >"$log" 2>&1; then
            rm -f "$log"
            # An editable install is not compiled by pip; without this each start would do it again
            # where PYTHONDONTWRITEBYTECODE is set.
            "$venv/bin/python" -m compileall -q "$root/src" || :
            fingerprint >"$venv/.setup-stamp"
            return 0
        fi
        [ "$attempt" = 2 ] || { say "pip failed, one more attempt"; sleep 5; }
    done
    tail -n 25 "$log" >&2
    die "pip failed; its whole output is in $log" ".venv/bin/python -m pip install -e '.[dev]'"
}

export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
root=$(cd "$(dirname "$0")/.." && pwd -P)
self=$root/tools/setup.sh
venv=$root/.venv
unset PYTHONPATH PYTHONHOME

case "${1-}" in
    --packages)
        shift
        # shellcheck disable=SC2046 # a list of names
        [ $# -gt 0 ] || set -- $(missing "$(manager)")
        install_packages "$@"
        ;;
    "")
        # Two runs at the same time would spoil one .venv: the second one waits.
        if command -v flock >/dev/null 2>&1; then
            exec 9<"$self"
            flock 9
        fi
        rest=''
        ensure_packages
        ensure_venv
        [ -z "$rest" ] || wait "$rest"
        ;;
    *)
        printf 'usage: tools/setup.sh [--packages [NAME...]]\n' >&2
        exit 2
        ;;
esac
