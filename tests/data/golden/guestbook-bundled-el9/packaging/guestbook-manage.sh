#!/bin/sh
# Management commands of guestbook in the domain guestbook_manage_t, written by wsgi-sepkg.
# The account is left before the domain is entered: the domain itself can change no account.
umask 0027
cd /usr/share/guestbook || exit 1
if [ "$(id -u)" = 0 ]; then
  exec runuser -u guestbook -- /usr/libexec/guestbook/guestbook-manage "$@"
fi
exec /usr/libexec/guestbook/guestbook-manage "$@"
