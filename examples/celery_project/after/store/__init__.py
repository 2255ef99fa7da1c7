"""The background work of a web shop, with telex: `telex run store.app:hub`."""
