"""Consumer groups: consumers that claim deliveries, executors that call handlers, and batched acknowledgements."""
