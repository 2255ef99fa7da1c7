"""Commands: requests that one handler carries out, each with one outcome.

spec          a function decorated with ``@hub.command``; context: the argument that it may ask for
outcome       `Outcome` and `Progress`; ticket: the sender's view of one outcome
client        `send`, `call` and `follow` of a hub; follower: the outcomes of all senders
dispatcher    all commands of a hub; table: those that it serves
invocation    a command that this process carries out; server: how, with or without a record of its key
transports    how a command reaches the hub that serves it
"""
