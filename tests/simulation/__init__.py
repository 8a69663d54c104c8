"""One seeded simulator of everything between Centrifugo and the pages, on a virtual clock."""
