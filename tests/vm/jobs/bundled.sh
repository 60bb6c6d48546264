# The example with its Python packages along: installed, used with both databases, erased.
. ./confined.sh

change install install ./system-libraries-*.rpm ./guestbook-1*.rpm ./guestbook-selinux-*.rpm
rpm -V guestbook guestbook-selinux >"$OUT/verify" 2>&1
find /usr/lib/guestbook -printf '%Z\n' | cut -d: -f3 | sort | uniq -c >"$OUT/labels"
restorecon -Rnv /usr/lib/guestbook /usr/libexec/guestbook >"$OUT/relabel" 2>&1

step start
site_settings
guestbook-manage migrate --no-input 2>&1 | cat >"$OUT/migrate.log"
systemctl start guestbook 2>&1 | cat >"$OUT/start.log"
serve
page start

step use
client list static sign photo media
threads use
for process in $(pgrep -f guestbook-web); do awk '{ print $6 }' "/proc/$process/maps"; done |
    sort -u >"$OUT/maps"
guestbook-manage check 2>&1 | cat >"$OUT/check.log"
guestbook-manage shell -c 'import django; print(django.__file__)' 2>&1 | cat >"$OUT/django"
systemctl start guestbook-clear-sessions.service 2>&1 | cat >"$OUT/timer.log"
systemctl show -p Result guestbook-clear-sessions.service >"$OUT/timer"

step postgresql
# By a pipe: the command's domain may not write to the job's file.
tables() { guestbook-manage migrate --no-input 2>&1 | cat; }
postgresql guestbook tables
systemctl restart guestbook 2>&1 | cat >>"$OUT/start.log"
page postgresql
client sign list
journalctl -b -u guestbook --no-pager >"$OUT/journal"
getenforce >"$OUT/still"

step erase
rpm -e guestbook guestbook-selinux >"$OUT/erase.log" 2>&1
echo $? >"$OUT/erase.status"
ls -d /usr/lib/guestbook /usr/libexec/guestbook /usr/share/guestbook >"$OUT/erase.left" 2>/dev/null
step end
