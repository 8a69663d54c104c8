"""Site whose workers record the signals that they send in the file NOTES."""
