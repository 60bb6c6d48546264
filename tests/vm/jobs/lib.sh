# What the jobs share. Each step leaves a file in $OUT.
# The log is read from where the step before ended, so that each denial belongs to one step.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

step() {
    [ -z "${STEP-}" ] || denials >"$OUT/$STEP.avc"
    STEP=$1
    MARK=$(wc -l </var/log/audit/audit.log)
    echo "== $1 ($(cut -d' ' -f1 /proc/uptime) s)"
}

denials() {
    sleep 1
    sync
    tail -n "+$((MARK + 1))" /var/log/audit/audit.log | grep -E '^type=(USER_)?AVC .* denied ' || :
}

# There are no repositories here. Not with -q: it drops what scriptlets say.
DNF=(dnf -y --disablerepo='*' --releasever=12)

# change NAME DNF-ARGUMENT...: a step
change() {
    step "$1"
    shift
    "${DNF[@]}" "$@" >"$OUT/$STEP.log" 2>&1
    echo $? >"$OUT/$STEP.status"
}

client() { python3 client.py "$@" >"$OUT/$STEP.json" 2>"$OUT/$STEP.err"; }

# Every file of the store with its checksum. The empty folder of a priority and the count of
# commits are libsemanage's own.
store() {
    (cd /var/lib/selinux/targeted/active && find . -type f ! -name commit_num -print0 |
        sort -z | xargs -0 sha256sum)
    (cd /etc/selinux/targeted && sha256sum policy/policy.* contexts/files/file_contexts)
}

site_settings() {
    cat >>/etc/guestbook/guestbook.conf <<'CONF'
GUESTBOOK_HTTPS=no
CONF
}

migrate() {
    (cd /usr/share/guestbook && runuser -u www-data -- python3 manage.py migrate --no-input)
}

serve() {
    systemctl reset-failed apache2 2>/dev/null
    systemctl restart apache2
    for _ in $(seq 60); do
        curl -s -o /dev/null http://localhost/ && return 0
        sleep 1
    done
    return 1
}

# postgresql [ACCOUNT MIGRATE...]: the database of the site on this host, reached over TCP.
postgresql() {
    account=${1-www-data}
    shift $(($# > 0))
    pg_ctlcluster 15 main start >"$OUT/postgresql.log" 2>&1 || systemctl start postgresql@15-main
    sleep 3
    runuser -u postgres -- psql -q -c "create user guestbook password 'x'" \
        -c 'create database guestbook owner guestbook' >>"$OUT/postgresql.log" 2>&1
    printf 'x\n' >/etc/guestbook/password
    chgrp "$account" /etc/guestbook/password
    chmod 640 /etc/guestbook/password
    cat >>/etc/guestbook/guestbook.conf <<'CONF'
GUESTBOOK_DB_ENGINE=postgresql
GUESTBOOK_DB_HOST=127.0.0.1
GUESTBOOK_DB_PASSWORD_FILE=/etc/guestbook/password
CONF
    "${@-migrate}" >>"$OUT/postgresql.log" 2>&1
}
