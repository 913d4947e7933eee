"""The processed folder as models read it: tables, queries, slates and training batches."""
