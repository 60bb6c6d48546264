# A thin package is used while the web server's domain is permissive: what it needs is in the log.
. ./lib.sh
. ./learn-folders.sh
set -u

step install
"${DNF[@]}" install ./guestbook-1*.rpm ./guestbook-selinux-*.rpm >"$OUT/install.log" 2>&1
folders

step use
# With a rule of its own the kernel adds the paths to each record.
auditctl -w /etc/shadow -p w -k paths >"$OUT/auditctl" 2>&1
semanage permissive -a httpd_t
site_settings
migrate >"$OUT/migrate.log" 2>&1
serve
client list static sign photo media
python3 sink.py "$OUT/mailbox" &
sink=$!
sleep 2
client mail
kill $sink

step postgresql
postgresql
serve
client list static sign photo
sleep 2
sync
cp /var/log/audit/audit.log "$OUT/audit.log"
step end
