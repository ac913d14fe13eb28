"""What was found by experiments: small results with the commands that make them again."""
