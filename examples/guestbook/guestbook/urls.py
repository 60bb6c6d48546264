"""The addresses of the site."""

from django.conf import settings
from django.conf.urls.static import static
from django.contrib import admin
from django.urls import path
from entries import views

urlpatterns = [
    path("", views.entry_list, name="list"),
    path("sign/", views.sign, name="sign"),
    path("admin/", admin.site.urls),
    # Empty unless DEBUG is on: in production the web server hands out the photographs.
    *static(settings.MEDIA_URL, document_root=settings.MEDIA_ROOT),
]
