import json
import os
from typing import Any

import django
from django.conf import settings
from django.db import connection, models, transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path

import telex
from telex.ext.django import join

# A project has these lines in its settings.py, and the model and the view in files of their own.
DATABASE = {"ENGINE": os.environ["DATABASE_ENGINE"], "NAME": os.environ["DATABASE_NAME"]}
settings.configure(DATABASES={"default": DATABASE}, ROOT_URLCONF=__name__, SECRET_KEY="a secret", ALLOWED_HOSTS=["*"])
django.setup()

hub = telex.Hub(os.environ["TELEX_URL"])  # it need not be open to join transactions


class Order(models.Model):
    item = models.TextField()

    class Meta:
        app_label = "shop"


def orders(request: HttpRequest) -> JsonResponse:
    if request.method == "GET":
        return JsonResponse([order.item for order in Order.objects.order_by("id")], safe=False)
    new: dict[str, Any] = json.loads(request.body)
    with transaction.atomic():
        order = Order.objects.create(item=new["item"])
        join(hub).publish("orders", {"id": order.pk, "item": order.item})
        if order.item == "sold out":
            raise ValueError("sold out")  # rolls back both
    return JsonResponse({"id": order.pk}, status=201)


urlpatterns = [path("orders", orders)]


def migrate() -> None:  # a project runs `manage.py migrate`
    with connection.schema_editor() as editor:
        editor.create_model(Order)
