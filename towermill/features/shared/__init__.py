"""Code that several kinds of feature share. No kind imports another."""
