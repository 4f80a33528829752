"""What users did: stored on disk, kept in memory."""
