"""What runs Tocsin on a desk: the embedded stack, the sandbox and the command line."""
