"""The NVTabular graph: built from features, fitted, and run over Parquet."""
