"""The knowledge base of professional mode: documents cut into chunks, indexed by words, searched by a question."""
