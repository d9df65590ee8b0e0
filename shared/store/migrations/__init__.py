"""Alembic's migrations of the book."""
