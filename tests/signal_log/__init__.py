"""A site whose workers note the signals they send in the file NOTES."""
