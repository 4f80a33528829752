"""What a caller meets: messages are checked and translated here, both ways, and nothing is computed."""
