"""Everything that talks to somebody else's system, one folder per port of core."""
