"""What is served: the repository, and bundles as they are once loaded."""
