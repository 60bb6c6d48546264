# The example as a service behind httpd: installed, used, misused, its locks taken away, erased.
. ./confined.sh

change install install ./guestbook-1*.rpm ./guestbook-selinux-*.rpm
ls -Z /usr/libexec/guestbook /usr/lib/systemd/system/guestbook* >"$OUT/labels"
systemctl is-enabled guestbook.service guestbook-clear-sessions.timer >"$OUT/enabled" 2>&1
rpm -V guestbook guestbook-selinux >"$OUT/verify" 2>&1

step start
site_settings
guestbook-manage migrate --no-input 2>&1 | cat >"$OUT/migrate.log"
systemctl start guestbook 2>&1 | cat >"$OUT/start.log"
systemctl is-active guestbook >"$OUT/active"
serve
page start
threads start

step use
client list static sign photo media
guestbook-manage check 2>&1 | cat >"$OUT/check.log"
guestbook-manage shell -c 'print(open("/proc/thread-self/attr/current").read().strip("\0"))' 2>&1 |
    cat >"$OUT/manage.log"
systemctl start guestbook-clear-sessions.service 2>&1 | cat >"$OUT/timer.log"
systemctl show -p Result -p ExecMainStatus guestbook-clear-sessions.service >"$OUT/timer"
systemctl reload guestbook
sleep 5
client list sign
logrotate -f /etc/logrotate.d/guestbook >"$OUT/rotate.log" 2>&1
client sign list static photo media
ls -Z /run/guestbook >"$OUT/run"
threads use

step mail-on
setsebool guestbook_connect_smtp on
python3 sink.py "$OUT/mailbox" &
sink=$!
sleep 2
client mail
setsebool guestbook_connect_smtp off
kill $sink

step misdeeds
loosen
mkdir -p /run/systemd/system/guestbook.service.d
cat >/run/systemd/system/guestbook.service.d/selinux-alone.conf <<'CONF'
[Service]
ProtectSystem=no
ProtectHome=no
PrivateDevices=no
ProtectClock=no
ProtectControlGroups=no
ProtectKernelLogs=no
ProtectKernelModules=no
ProtectKernelTunables=no
RestrictAddressFamilies=
RestrictNamespaces=no
SystemCallFilter=
NoNewPrivileges=no
CONF
systemctl daemon-reload
systemctl restart guestbook 2>&1 | cat >"$OUT/misdeeds.log"
curl -s -m 120 http://localhost/misdeeds/ >"$OUT/misdeeds.json"
getenforce >"$OUT/still"
rm -r /run/systemd/system/guestbook.service.d
systemctl daemon-reload

# start NAME: what a start came to.
start() {
    step "$1"
    systemctl reset-failed guestbook 2>/dev/null
    systemctl restart guestbook 2>&1 | cat >"$OUT/$1.log"
    systemctl show -p ExecMainStatus -p ActiveState guestbook >"$OUT/$1.state"
    page "$1"
    threads "$1"
    journalctl -b -u guestbook --no-pager | tail -n 25 >"$OUT/$1.journal"
    systemctl stop guestbook
}
second_lock() {
    mkdir -p /run/systemd/system/guestbook.service.d
    printf '[Service]\nSELinuxContext=%s\n' "$1" >/run/systemd/system/guestbook.service.d/lock.conf
    systemctl daemon-reload
}

chcon -t usr_t /usr/libexec/guestbook/guestbook-web
start label-usr
second_lock ''
start label-usr-one-lock
chcon -t bin_t /usr/libexec/guestbook/guestbook-web
start label-bin-one-lock
restorecon /usr/libexec/guestbook/guestbook-web
start label-back-one-lock
rm -r /run/systemd/system/guestbook.service.d
systemctl daemon-reload
systemctl restart guestbook

step policy-gone
rpm -e --nodeps guestbook-selinux >"$OUT/policy-gone.log" 2>&1
systemctl is-active guestbook guestbook-clear-sessions.timer >"$OUT/policy-gone.active"
threads policy-gone
start policy-missing
second_lock ''
start policy-missing-one-lock
rm -r /run/systemd/system/guestbook.service.d
systemctl daemon-reload

step erase
rpm -e guestbook >"$OUT/erase.log" 2>&1
echo $? >"$OUT/erase.status"
systemctl list-unit-files 'guestbook*' --no-legend >"$OUT/erase.units" 2>&1
threads erase
ls -dZ /var/lib/guestbook /etc/guestbook /usr/libexec/guestbook >"$OUT/erase.labels" 2>&1
step end
