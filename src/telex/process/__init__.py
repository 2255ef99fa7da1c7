"""Tasks of the process, their supervision, and forks."""
