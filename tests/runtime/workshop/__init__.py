"""What lies in a cloud session's sandbox, over real boxes and both databases."""
