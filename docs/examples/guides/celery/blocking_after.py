import telex
import telex.blocking

router = telex.Router()


@router.command("greet")
def greet(name: str) -> str:
    return f"hello {name}"


def view(hub: telex.blocking.Hub, name: str) -> str:
    return hub.call("greet", name, type=str, timeout=10)


with telex.blocking.Hub() as hub:  # one hub for each process, open as long as the process runs
    hub.include_router(router)  # in the worker; a web process need not include it
    print(view(hub, "ann"))
# -> hello ann
