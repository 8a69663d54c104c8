"""What every call to a server needs: its deadline, and messages without secrets."""
