"""What the sequence models share: options, inputs, the two ends of a network, the loss."""
