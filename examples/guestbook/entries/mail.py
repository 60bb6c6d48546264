"""The mail that thanks a guest."""

from __future__ import annotations

import logging

from django.core.mail import send_mail

from entries.models import Entry

logger = logging.getLogger(__name__)

# Nothing of what the guest wrote is repeated: the address may be somebody else's.
SUBJECT = "Thank you for signing our guest book"
BODY = "Dear guest,\n\nthank you for the entry in our guest book. We enjoyed reading it.\n"


def thank(entry: Entry) -> None:
    """Thank the guest by e-mail; an entry stands even if the mail server is away."""
    if not entry.email:
        return
    try:
        send_mail(SUBJECT, BODY, None, [entry.email])
    except OSError:  # Includes smtplib's exceptions.
        logger.exception("no mail could be sent for entry %d", entry.pk)
