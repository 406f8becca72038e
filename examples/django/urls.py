"""Where the daemon sends hand-offs: ``--importer=http://127.0.0.1:8000/1c-import/``."""

from django.urls import include, path

urlpatterns = [path("1c-import/", include("shop.urls"))]
