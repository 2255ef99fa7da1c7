"""Triggers: what publishes by itself when its time has come.

schedule      when that is: pure, time is an argument
trigger       Trigger and Firing: one that was declared, and what it publishes
scheduler     the one loop of a hub that drives them all
timing        what a hub has for them: every, cron, at, after
"""
