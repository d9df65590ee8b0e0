"""send: to PACS and RIS, until acknowledged."""
