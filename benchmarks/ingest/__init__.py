"""How fast listeners store what storescu sends, ours beside its peers."""
