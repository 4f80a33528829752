"""What models that know items by their content share: texts, attributes, brought vectors, the network over them."""
