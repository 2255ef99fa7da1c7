"""Commands: what is asked of somebody, and what became of it.

command       what a decorated function is; the context of one run
outcome       Outcome, Progress, and what is recorded of an error
ticket        what a sender has of a command; follower: what those have who hear of all
run           one command that was accepted, and how it is carried out
claims        the shell around `telex.once`: who works on a key; enginestore: its records on a hub's engine
desk          all commands of a hub, in one process
courier       the same over an engine that keeps messages; directory: who is there to serve
"""
