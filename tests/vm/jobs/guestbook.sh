# The life of the example in one boot: installed, used, each power withdrawn in turn, erased.
. ./lib.sh
set -u

step before
store >"$OUT/store.before"
semodule -lfull | cat >"$OUT/modules.before"
semanage export | cat >"$OUT/export.before"

step install
"${DNF[@]}" install ./guestbook-1*.rpm ./guestbook-selinux-*.rpm >"$OUT/install.log" 2>&1
echo $? >"$OUT/install.status"
semodule -lfull | grep -w guestbook >"$OUT/modules"
ls -dZ /etc/guestbook/secret-key /etc/guestbook/guestbook.conf /usr/share/guestbook/manage.py \
    /usr/share/guestbook/static /var/lib/guestbook/db /var/lib/guestbook/media \
    /var/cache/guestbook /var/log/guestbook >"$OUT/labels"
find /etc/guestbook /usr/share/guestbook /var/lib/guestbook /var/cache/guestbook \
    /var/log/guestbook -print0 | xargs -0 matchpathcon -V | grep -v verified >"$OUT/mislabelled"
stat -c '%a %U %G' /etc/guestbook/secret-key >"$OUT/secret"
rpm -V guestbook guestbook-selinux >"$OUT/verify" 2>&1
echo $? >"$OUT/verify.status"

step serve
site_settings
migrate >"$OUT/migrate.log" 2>&1
serve
ps -eLo label,comm | grep apache2 | sort | uniq -c >"$OUT/domains"

step use
client list static sign photo media

step mail-off
client mail
step mail-on
setsebool guestbook_connect_smtp on
python3 sink.py "$OUT/mailbox" &
sink=$!
sleep 2
client mail
setsebool guestbook_connect_smtp off
kill $sink

step media-label-gone
chcon -R -t etc_t /var/lib/guestbook/media
client list sign photo
restorecon -R /var/lib/guestbook
step media-label-back
client list photo media

step log-label-gone
chcon -R -t etc_t /var/log/guestbook
serve
client list sign
restorecon -R /var/log/guestbook

step data-label-gone
chcon -R -t etc_t /var/lib/guestbook/db
serve
client list static sign
restorecon -R /var/lib/guestbook/db

step secret-label-gone
chcon -t shadow_t /etc/guestbook/secret-key
serve
client list static
restorecon /etc/guestbook/secret-key

step postgresql
postgresql
serve
client list static sign

step postgresql-off
setsebool guestbook_connect_postgresql off
serve
client static sign

# Through the socket the server knows www-data by his account. The tunable is still off.
runuser -u postgres -- psql -q -d guestbook -c 'create user "www-data"' \
    -c 'reassign owned by guestbook to "www-data"' >>"$OUT/postgresql.log" 2>&1
printf 'GUESTBOOK_DB_HOST=\nGUESTBOOK_DB_USER=www-data\nGUESTBOOK_DB_PASSWORD_FILE=\n' \
    >>/etc/guestbook/guestbook.conf
step postgresql-socket
serve
client list static sign
setsebool guestbook_connect_postgresql on

step log-rotated
logrotate -f /etc/logrotate.d/guestbook >"$OUT/rotate.log" 2>&1
sleep 2
client list
ls -Z /var/log/guestbook >"$OUT/rotated"

step policy-alone-refused
rpm -e guestbook-selinux >"$OUT/refused.log" 2>&1
echo $? >"$OUT/refused.status"

step erase
systemctl stop apache2
"${DNF[@]}" --noautoremove remove guestbook-selinux >"$OUT/erase.log" 2>&1
echo $? >"$OUT/erase.status"
rpm -qa >"$OUT/left.packages"
find /var/lib/guestbook /etc/guestbook /var/log/guestbook -print0 2>/dev/null |
    xargs -0 -r ls -dZ >"$OUT/left.labels"
store >"$OUT/store.after"
semodule -lfull | cat >"$OUT/modules.after"
semanage export | cat >"$OUT/export.after"
step end
