"""Functions and values that several test files share."""
