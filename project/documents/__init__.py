"""The documents of the demo: presence in class-based views, async views, lists and the admin."""
