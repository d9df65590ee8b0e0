"""What is kept: files, their rows, duplicates, quarantine, and how files and rows are made to agree."""
