# What the jobs of an application with domains of its own share, beside lib.sh.
. ./lib.sh
set -u

# threads NAME: domain, thread and program of all that belongs to the application.
threads() { ps -eLo label,user:32,pid,tid,comm,args | grep -E 'guestbook|shop' | grep -vE 'grep|ps -eL' >"$OUT/$1.threads"; }

# page NAME...: the status of the first page, once for each name, as a step
page() { curl -s -o /dev/null -m 20 -w '%{http_code}' http://localhost/ >"$OUT/$1.page"; }

# loosen: whatever is not SELinux lets the misdeeds through, so that SELinux alone answers.
loosen() {
    chmod 666 /etc/shadow /etc/apache2/apache2.conf /sys/fs/selinux/enforce
    mkdir -p /var/lib/other
    echo secret >/var/lib/other/secret
    chcon -R -t mailman_data_t /var/lib/other
    install -D -m 644 /dev/null /etc/ssl/private/site.key
    chmod 755 /etc/ssl/private
    restorecon -R /etc/ssl/private
    chmod 666 /usr/share/guestbook/guestbook/urls.py /etc/guestbook/guestbook.conf \
        /usr/libexec/guestbook/* /usr/lib/systemd/system/apache2.service
    chmod 755 /usr/libexec/guestbook/*
    chmod o+w /usr/libexec/guestbook/*
}
