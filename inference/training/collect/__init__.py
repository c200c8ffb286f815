"""Collect: files, exports and conversations become records, with source, licence and consent."""
