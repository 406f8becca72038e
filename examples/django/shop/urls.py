"""The address that receives hand-offs, and one for each of them that says how far it is."""

from django.urls import path

from shop import views

urlpatterns = [
    path("", views.receive, name="onec-receive"),
    path("<str:ident>/", views.report, name="onec-report"),
]
