# Debian's mailman3-web: under mod_wsgi with the policy of version 1.0, then as a service, 2.0.
. ./lib.sh
set -u

step unpack
tar -xpf mailman.tar -C / --numeric-owner --skip-old-files
ldconfig
tar -tPf mailman.tar | restorecon -i -f -
restorecon -R -i /var/lib/mailman3
cat >/etc/apache2/conf-enabled/mailman.conf <<'CONF'
WSGIDaemonProcess mailman3-web processes=1 threads=2 python-path=/usr/share/mailman3-web
WSGIScriptAlias / /usr/share/mailman3-web/wsgi.py process-group=mailman3-web application-group=%{GLOBAL}
Alias /mailman3/static/ /var/lib/mailman3/web/static/
<Directory /var/lib/mailman3/web/static>
    Require all granted
</Directory>
<Directory /usr/share/mailman3-web>
    <Files wsgi.py>
        Require all granted
    </Files>
</Directory>
CONF
# What a person does who sets it up: a name for the site, and an administrator.
printf 'ALLOWED_HOSTS = ["localhost"]\nACCOUNT_EMAIL_VERIFICATION = "none"\n' >>/etc/mailman3/mailman-web.py
(cd /usr/share/mailman3-web && DJANGO_SUPERUSER_PASSWORD=x-9-secret runuser -u www-data -- \
    python3 manage.py createsuperuser --no-input --username admin --email admin@example.org
) >"$OUT/superuser.log" 2>&1

change install install ./mailman3-web-selinux-1.0-*.rpm
rpm -V mailman3-web-selinux >"$OUT/verify" 2>&1
ls -dZ /etc/mailman3/mailman-web.py /var/lib/mailman3/web/mailman3web.db \
    /var/lib/mailman3/web/static /var/lib/mailman3/web/fulltext_index /var/log/mailman3/web \
    /usr/share/mailman3-web/settings.py >"$OUT/labels" 2>&1

sign_in() { python3 mailman_client.py "$@" >"$OUT/$STEP.json" 2>"$OUT/$STEP.err"; }

step serve
serve
ps -eLo label,comm | grep apache2 | sort | uniq -c >"$OUT/domains"
step use
sign_in page static sign-in search lists
tail -n 40 /var/log/apache2/error.log >"$OUT/error.log"

# Under the label of the base policy nothing of it can be written.
step label-gone
chcon -R -t mailman_data_t /var/lib/mailman3/web
sign_in page sign-in
restorecon -R /var/lib/mailman3/web
step label-back
sign_in sign-in

change erase remove mailman3-web-selinux
ls -dZ /var/lib/mailman3/web/mailman3web.db >"$OUT/left" 2>&1

# The other way: uWSGI in a domain of its own, Apache in front of it.
rm /etc/apache2/conf-enabled/mailman.conf
change service install ./mailman3-web-2.0-*.rpm ./mailman3-web-selinux-2.0-*.rpm
# Emulation is slow: what takes seconds elsewhere passes the limit of a start.
for unit in mailman3-web mailman3-web-qcluster; do
    mkdir -p "/etc/systemd/system/$unit.service.d"
    printf '[Service]\nTimeoutStartSec=600\n' >"/etc/systemd/system/$unit.service.d/slow.conf"
done
systemctl daemon-reload
step service-start
systemctl restart mailman3-web.service mailman3-web-qcluster.service
serve
ps -eLo label,comm | grep mailman3_web | sort | uniq -c >"$OUT/service-domains"
step service-use
sign_in page static sign-in search lists
journalctl -b --no-pager -u mailman3-web -u mailman3-web-qcluster | tail -n 60 >"$OUT/journal"
step service-label-gone
chcon -R -t mailman_data_t /var/lib/mailman3/web
sign_in page sign-in
step end
