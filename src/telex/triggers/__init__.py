"""Triggers: what publishes by itself when its time has come, or when something becomes true.

Pure, with time as an argument:
schedule      when the time of one has come: every, cron, at, after
condition     what has to be true: variables compared, and, or, not
sequence      conditions of what another one did before: then, debounce, throttle, times
stream        conditions of messages: rates and silences
fold          what comes of a condition over all that happens, for each key

In a hub:
trigger       Trigger: one that was declared
firing        what it publishes
when          one that waits for something to become true
watch         tells a fold what happens: messages, changes, the time
poll          a function that is looked at again and again
variable      a value whose change is an event
scheduler     the one loop of a hub that drives them all
claims        what processes that share an engine have done once, together
stored        what a file keeps of triggers: to list them, to pause, resume and fire them
plan          a trigger of a router, of which each hub makes its own
timing        what declares them: every, cron, at, after, when, and what goes with it
"""
