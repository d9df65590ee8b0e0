"""What keeps one package's trouble from becoming the others'."""
