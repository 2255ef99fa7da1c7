"""Conditions, schedules and firings. Pure: time, values and messages are arguments."""
