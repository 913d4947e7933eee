"""Out-of-core group-by, partitioning and order statistics."""
