"""Protocols of models: the Retriever and the Ranker."""
