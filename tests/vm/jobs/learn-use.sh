# The learned package, enforcing: every function, and the log of each.
. ./lib.sh
. ./learn-folders.sh
set -u

step install
"${DNF[@]}" install ./guestbook-1*.rpm ./guestbook-selinux-*.rpm >"$OUT/install.log" 2>&1
folders
site_settings
migrate >"$OUT/migrate.log" 2>&1
serve

step use
client list static sign photo media

step mail
python3 sink.py "$OUT/mailbox" &
sink=$!
sleep 2
client mail
kill $sink

step postgresql
postgresql
serve
STEP=postgresql
client list static sign
step end
