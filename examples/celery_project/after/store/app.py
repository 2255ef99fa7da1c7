"""The hub. Its engine is in TELEX_URL; the schedules are beside their functions."""

import telex

from . import mails, orders, reports, upkeep

hub = telex.Hub()
for module in (orders, mails, reports, upkeep):
    hub.include_router(module.router)
