# What the cells of the matrix share, beside lib.sh: steps that change the host, and looks at it.
. ./lib.sh
set -u

# raw NAME COMMAND...; a confined program gets a pipe, since it may not write into $OUT
raw() {
    step "$1"
    shift
    "$@" 2>&1 | cat >"$OUT/$STEP.log"
    echo "${PIPESTATUS[0]}" >"$OUT/$STEP.status"
}

# look NAME: modules, labels, the boolean, the port and rpm -V, each in a file of that name.
look() {
    step "$1"
    semodule -lfull | awk '$2 ~ /guestbook|oldbook|shop|wsgi|foreign/ { print $1 "/" $2 }' |
        sort >"$OUT/$1.modules"
    for place in /usr/share/guestbook/manage.py /etc/guestbook/secret-key /var/lib/guestbook/db \
        /var/lib/guestbook/db/witness; do
        if [ -e $place ]; then echo "$place $(stat -c %C $place 2>/dev/null | cut -d: -f3)"; fi
    done >"$OUT/$1.labels"
    semanage boolean -l | awk -F'[(,)]' '/^httpd_can_sendmail/ { gsub(/ /, "", $3); print $3 }' \
        >"$OUT/$1.boolean"
    semanage port -l | awk '$2 == "tcp" && / 24680(,|$)/ { print $1 }' | sort >"$OUT/$1.port"
    for name in guestbook-selinux shop-selinux; do
        if rpm -q $name >/dev/null; then rpm -V $name; fi
    done >"$OUT/$1.verify" 2>&1
}

# pages NAME WHAT...: the site, served and used.
pages() {
    step "$1"
    shift
    grep -q '^GUESTBOOK_HTTPS=no' /etc/guestbook/guestbook.conf || site_settings
    migrate >"$OUT/$STEP.migrate" 2>&1
    serve
    client "$@"
}

# same_store NAME [FILE]: the store is as in NAME.before, but for a file below active/.
same_store() {
    store >"$OUT/$1.now"
    diff <(grep -v "  ./${2-none}$" "$OUT/$1.before") <(grep -v "  ./${2-none}$" "$OUT/$1.now")
}
