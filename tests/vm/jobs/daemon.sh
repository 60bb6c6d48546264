# The example in mod_wsgi's daemon process: installed, used, misused, its ways in closed, erased.
. ./confined.sh
log=/var/log/apache2/error.log

change install install ./guestbook-1*.rpm ./guestbook-selinux-*.rpm
ls -Z /usr/libexec/guestbook >"$OUT/labels"

step start
site_settings
guestbook-manage migrate --no-input 2>&1 | cat >"$OUT/migrate.log"
serve
page start
ps -eLo label,user:32,pid,tid,comm,args | grep -E 'apache2|wsgi:' | grep -v grep >"$OUT/start.threads"

step use
client list static sign photo media
guestbook-manage check 2>&1 | cat >"$OUT/check.log"
systemctl reload apache2
sleep 3
client list sign photo media static
ps -eLo label,user:32,pid,tid,comm,args | grep -E 'wsgi:' | grep -v grep >"$OUT/use.threads"

step misdeeds
loosen
curl -s -m 120 http://localhost/misdeeds/ >"$OUT/misdeeds.json"
getenforce >"$OUT/still"

# restart NAME: what the site comes to with something taken away, and what the error log says.
restart() {
    step "$1"
    before=$(wc -l <$log)
    systemctl restart apache2
    sleep 3
    page "$1"
    ps -eLo label,comm,args | grep -E 'wsgi:' | grep -v grep >"$OUT/$1.threads"
    tail -n "+$((before + 1))" $log >"$OUT/$1.log"
    grep -c ' ends: ' "$OUT/$1.log" >"$OUT/$1.ends"
}
conf=/etc/apache2/conf-enabled/guestbook.conf
cp $conf conf.kept

# A thread before ours: an import script that comes first and starts one.
cat >/usr/libexec/guestbook/first.py <<'CODE'
import threading, time
threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
CODE
sed -i 's|^WSGIImportScript .*|WSGIImportScript /usr/libexec/guestbook/first.py process-group=guestbook application-group=%{GLOBAL}\n&|' $conf
restart threads
cp conf.kept $conf

# The entering script cannot be read: mod_wsgi would go on in httpd_t.
chcon -t shadow_t /usr/libexec/guestbook/guestbook-enter.py
restart unread
restorecon -R /usr/libexec/guestbook
sed -i '/^WSGIImportScript/d' $conf
restart unasked
cp conf.kept $conf
# In the server itself: no process group.
sed -i -e '/^WSGIImportScript/d' -e 's/ process-group=guestbook//' $conf
restart embedded
cp conf.kept $conf
restart back
# The first request loads the application, which may have taken longer than it waited.
page back

step policy-gone
rpm -e --nodeps guestbook-selinux >"$OUT/policy-gone.log" 2>&1
sleep 3
page policy-gone
ps -eLo label,comm,args | grep -E 'wsgi:' | grep -v grep >"$OUT/policy-gone.threads"
restart policy-missing

step erase
rpm -e guestbook >"$OUT/erase.log" 2>&1
echo $? >"$OUT/erase.status"
ps -eLo label,comm,args | grep -E 'wsgi:' | grep -v grep >"$OUT/erase.threads"
step end
