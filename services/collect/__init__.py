"""collect: PACS → the study is complete."""
