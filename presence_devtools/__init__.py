"""Tools for development: a server like Centrifugo, and a crowd. No part of the app."""
