"""One page: it stores what is sent to it in the media folder, and lists what is there."""

from django.core.files.storage import default_storage
from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def upload(request):
    for sent in request.FILES.values():
        default_storage.save(sent.name, sent)
    names = default_storage.listdir("")[1]
    return HttpResponse("\n".join(sorted(names)), content_type="text/plain")
