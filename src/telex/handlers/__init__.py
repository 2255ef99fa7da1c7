"""Decorated functions: their declarations, their dispatch by type, and the tasks that call them."""
