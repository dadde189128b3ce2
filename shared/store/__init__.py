"""What Postgres remembers: short functions that take a Session and never commit."""
