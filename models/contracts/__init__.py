"""What every model can do: the Retriever and the Ranker."""
