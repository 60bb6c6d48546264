"""A visitor of mailman3-web; prints the HTTP status of each thing he did, as one JSON object."""

import http.cookiejar
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

HOST = "http://localhost"
jar = http.cookiejar.CookieJar()
# No redirection: the list of lists, where a sign-in ends, needs Mailman itself.


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirection."""

    def redirect_request(self, *args, **kwargs):
        """Refuse."""
        return


opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar), Stay)


def ask(path, fields=None):
    """Return status and body of one request."""
    data = urllib.parse.urlencode(fields).encode() if fields else None
    try:
        with opener.open(HOST + path, data, timeout=240) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


def sign_in():
    """Fill in the form; 302 leads into the site, and a session was written."""
    status, page = ask("/accounts/login/")
    if status != 200:
        return status
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page).group(1)
    fields = {"csrfmiddlewaretoken": token, "login": "admin", "password": "x-9-secret"}
    return ask("/accounts/login/", fields)[0]


did = {}
for what in sys.argv[1:]:
    if what == "page":
        did[what] = ask("/accounts/login/")[0]
    elif what == "static":
        did[what] = ask("/mailman3/static/postorius/img/favicon.ico")[0]
    elif what == "sign-in":
        did[what] = sign_in()
    elif what == "search":
        did[what] = ask("/hyperkitty/search?q=policy")[0]
    elif what == "lists":
        did[what] = ask("/postorius/lists/")[0]
json.dump(did, sys.stdout)
