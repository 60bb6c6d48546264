# Two applications in processes of their own on one server.
. ./confined.sh

change install install ./*.rpm
step start
site_settings
guestbook-manage migrate --no-input 2>&1 | cat >"$OUT/migrate.log"
serve
page start
curl -s -m 30 http://localhost/album/ >"$OUT/neighbour.json"
ps -eLo label,user:32,pid,tid,comm,args | grep -E 'wsgi:' | grep -v grep >"$OUT/start.threads"
step end
