# Versions of the example, one after the other, on one host.
. ./lib.sh
set -u

labels() { ls -dZ "$@" 2>&1 | sed 's/^ *//' >"$OUT/$STEP.labels"; }
modules() { semodule -lfull | grep -w guestbook >"$OUT/$STEP.modules"; }

change policy-first install ./guestbook-selinux-1.4-*.rpm
modules
change application-then install ./guestbook-1.4-*.rpm
modules
labels /usr/share/guestbook/manage.py /etc/guestbook/secret-key /var/lib/guestbook/db
site_settings
migrate >"$OUT/migrate.log" 2>&1
serve
client list static sign

step administrator
setsebool -P guestbook_connect_smtp on

touch /var/lib/guestbook/db/witness
chcon -t etc_t /var/lib/guestbook/db/witness
change same-contexts upgrade ./guestbook-1.5-*.rpm ./guestbook-selinux-1.5-*.rpm
modules
labels /var/lib/guestbook/db/witness
getsebool guestbook_connect_smtp >"$OUT/same-contexts.boolean"
serve
client list static sign

mkdir -p /var/lib/guestbook/extra
touch /var/lib/guestbook/extra/old
change changed-contexts upgrade ./guestbook-1.6-*.rpm ./guestbook-selinux-1.6-*.rpm
modules
labels /var/lib/guestbook/extra /var/lib/guestbook/extra/old
serve
client list static sign

change downgrade downgrade ./guestbook-1.5-*.rpm ./guestbook-selinux-1.5-*.rpm
modules
labels /var/lib/guestbook/extra/old /var/lib/guestbook/db
getsebool guestbook_connect_smtp >"$OUT/downgrade.boolean"
rpm -V guestbook-selinux >"$OUT/downgrade.verify" 2>&1

step policy-gone
rpm -e --nodeps guestbook-selinux >"$OUT/policy-gone.log" 2>&1
echo $? >"$OUT/policy-gone.status"
modules
labels /usr/share/guestbook/manage.py /etc/guestbook/secret-key /var/lib/guestbook/db
serve
client list static
step end
