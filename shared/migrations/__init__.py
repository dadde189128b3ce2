"""Alembic migrations; `shared.store.migrate` runs them."""
