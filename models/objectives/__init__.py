"""What training minimises: losses, negatives and their sampling."""
