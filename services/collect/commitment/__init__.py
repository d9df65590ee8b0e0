"""Storage commitment (PS3.4 Annex J): what senders ask of us, and what a PACS answers to what we asked."""
