"""The API: its protocol buffers, and the stubs that are generated from them."""
