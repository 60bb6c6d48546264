"""A visitor of the guest book: signs with a photograph, reads the page, asks for the photograph.

Prints one JSON object: the HTTP status of each thing he did.
"""

import http.cookiejar
import io
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid

from PIL import Image

HOST = "http://localhost"
jar = http.cookiejar.CookieJar()
opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))


def ask(path, data=None, headers=None):
    """Return status and body of one request."""
    request = urllib.request.Request(HOST + path, data=data, headers=headers or {})
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


def sign(name, photo, email=""):
    """Fill in the form."""
    status, page = ask("/sign/")
    if status != 200:
        return status
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page).group(1)
    border = uuid.uuid4().hex
    body = io.BytesIO()
    fields = {"csrfmiddlewaretoken": token, "name": name, "message": "hello", "email": email}
    for key, value in fields.items():
        head = f'--{border}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n'
        body.write((head + value + "\r\n").encode())
    if photo:
        image = io.BytesIO()
        Image.effect_noise((900, 700), 100).convert("RGB").save(image, "JPEG", quality=98)
        head = (
            f'--{border}\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        )
        body.write(head.encode() + image.getvalue() + b"\r\n")
    body.write(f"--{border}--\r\n".encode())
    kind = {"Content-Type": f"multipart/form-data; boundary={border}"}
    status, page = ask("/sign/", body.getvalue(), kind)
    return status if "Thank you" in page or status != 200 else 422


did = {}
for what in sys.argv[1:]:
    if what == "list":
        did[what], page = ask("/")
    elif what == "static":
        did[what], page = ask("/static/entries/guestbook.css")
    elif what == "sign":
        did[what] = sign("words", photo=False)
    elif what == "mail":
        did[what] = sign("mail", photo=False, email="guest@example.org")
    elif what == "photo":
        did[what] = sign("picture", photo=True)
    elif what == "media":
        status, page = ask("/")
        found = re.findall(r'(?:src|href)="(/media/[^"]+)"', page)
        did[what] = ask(found[0])[0] if found else f"no photograph in the page ({status})"
json.dump(did, sys.stdout)
