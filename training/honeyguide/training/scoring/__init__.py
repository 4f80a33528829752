"""What a network says of a catalogue: scores of all items, candidates of its sources, their order after ranking."""
