# The example on a host whose kernel has no SELinux.
. ./confined.sh
MARK=0

"${DNF[@]}" install ./guestbook-1*.rpm ./guestbook-selinux-*.rpm >"$OUT/install.log" 2>&1
echo $? >"$OUT/install.status"
site_settings
guestbook-manage migrate --no-input >"$OUT/migrate.log" 2>&1
systemctl start guestbook 2>"$OUT/start.log"
if ! systemctl restart apache2; then systemctl status apache2; fi
sleep 8
page start
systemctl show -p ExecMainStatus -p ActiveState guestbook >"$OUT/state" 2>&1
{
    journalctl -b -u guestbook --no-pager | tail -n 25
    tail -n 40 /var/log/apache2/error.log
} >"$OUT/said"
