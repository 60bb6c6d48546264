"""The pages of the site."""

from __future__ import annotations

import logging

from django.contrib import messages
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from entries import mail, pages
from entries.forms import EntryForm

logger = logging.getLogger(__name__)


@require_safe
def entry_list(request: HttpRequest) -> HttpResponse:
    """The entries, newest first."""
    try:
        page = pages.get(int(request.GET.get("page", "1")))
    except (InvalidPage, ValueError) as error:
        raise Http404("There is no such page.") from error
    return render(request, "entries/list.html", {"page": page})


@require_http_methods(["GET", "HEAD", "POST"])
def sign(request: HttpRequest) -> HttpResponse:
    """The form, and what happens when it is sent."""
    form = EntryForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        entry = form.save()
        logger.info("entry %d signed, photograph: %s", entry.pk, entry.photo.name or "none")
        mail.thank(entry)
        messages.success(request, "Thank you! Your entry is in the book.")
        return redirect("list")
    return render(request, "entries/sign.html", {"form": form})
