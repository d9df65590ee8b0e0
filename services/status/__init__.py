"""status: where is my study? The API, the page, the metrics and the buttons."""
