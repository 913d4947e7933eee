"""What one shop adds to Towermill: a part of each kind."""
