# The folders that the site makes, since the thin package makes none but its media; labels as the
# policy says.
folders() {
    for folder in /var/lib/guestbook/db /var/lib/guestbook/media/.upload /var/cache/guestbook \
        /var/log/guestbook; do
        mkdir -p "$folder"
    done
    chown -R www-data:www-data /var/lib/guestbook /var/cache/guestbook /var/log/guestbook
    restorecon -R /var/lib/guestbook /var/cache/guestbook /var/log/guestbook
}
