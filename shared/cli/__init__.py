"""The `isocenter` command."""
