"""A site of live views and consumers: djust and Channels, served by daphne."""
