"""Schedules that programs add at run time, stored by the engine: ``hub.schedules``.

plan             the stored record of a schedule, its checks, and the texts of its times
store            the records of all schedules: add, change, list, pause, resume, delete
runner           fires the due schedules of an engine, once in all processes
schedules        Schedules, the methods for programs
"""
