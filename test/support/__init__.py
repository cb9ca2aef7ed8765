"""What the tests stand on: a virtual sound card and tools to judge what it heard."""
