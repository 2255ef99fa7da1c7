"""What every part of telex does with the process: tasks, their supervision, and forks."""
