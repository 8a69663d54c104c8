"""A site of one page, which shows what a test writes, as any site would write it."""
