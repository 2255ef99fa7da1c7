"""Triggers: what publishes by itself when its time has come.

schedule      when that is: pure, time is an argument
trigger       Trigger and Firing: one that was declared, and what it publishes
scheduler     the one loop of a hub that drives them all
claims        what processes that share an engine have done once, together
stored        what a file keeps of triggers: to list them, to pause, resume and fire them
timing        what a hub has for them: every, cron, at, after
"""
