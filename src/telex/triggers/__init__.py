"""Triggers: timers, conditions and variables of a hub.

conditions/      the pure part: schedules, conditions, and which instants fire
declare          every, cron, at, after, when, variable: the methods of hubs and routers
spec             a trigger of a router, from which each hub makes its own
trigger          Trigger, the handle of a trigger for programs
variable         Variable, the handle of a value whose changes are published
scheduled        the state of a trigger: time_trigger for schedules, when_trigger for conditions
monitor, poll    what makes a when_trigger fire: a condition, or a polled function
values           the value of a variable, in this process or shared by all
timer_queue      triggers in the order in which they are due
timers           the one timer of a hub
firings          how triggers fire: local_firings in this process, engine_firings once in all processes
records, claims  claims of firings by compare-and-set: time_claims for schedules, when_claims for conditions
retiring         the groups of triggers that have ended
scheduler        all triggers of a hub
admin            lists, pauses, resumes and fires the triggers of a file
"""
