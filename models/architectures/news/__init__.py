"""News retrievers: their queries are reading histories."""
