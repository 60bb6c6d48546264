# The example as a service behind nginx, with a worker: used, its policy removed under it.
. ./confined.sh

change install install ./guestbook-1*.rpm ./guestbook-selinux-*.rpm
systemctl disable --now apache2 >/dev/null 2>&1
rm -f /etc/nginx/sites-enabled/default

step start
site_settings
guestbook-manage migrate --no-input 2>&1 | cat >"$OUT/migrate.log"
systemctl start redis-server nginx 2>&1 | cat >"$OUT/servers.log"
systemctl start guestbook guestbook-jobs 2>&1 | cat >"$OUT/start.log"
for _ in $(seq 60); do
    curl -s -o /dev/null http://localhost/ && break
    sleep 1
done
page start
ps -eLo label,comm | grep nginx | sort | uniq -c >"$OUT/nginx"

step use
client list static sign photo media
curl -s -m 90 http://localhost/job/ >"$OUT/job.json"
systemctl restart guestbook-jobs
curl -s -m 90 http://localhost/job/ >"$OUT/job-again.json"
threads use
journalctl -b -u guestbook-jobs --no-pager | tail -n 25 >"$OUT/jobs.journal"

# The module goes without a word to the package.
step module-removed
semodule -n -X 200 -r guestbook >"$OUT/module-removed.log" 2>&1
load_policy
page module-removed
threads module-removed
systemctl restart guestbook 2>&1 | cat >"$OUT/module-removed.refused"
# Nobody may manage a unit whose type is gone, until systemd finds another label with it.
restorecon /usr/lib/systemd/system/guestbook*
systemctl daemon-reload
systemctl restart guestbook 2>&1 | cat >"$OUT/module-removed.restart"
systemctl show -p ExecMainStatus guestbook >"$OUT/module-removed.state"
page module-restarted
threads module-restarted
systemctl stop guestbook guestbook-jobs
step end
