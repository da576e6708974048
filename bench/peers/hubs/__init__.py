"""The servers, each a program that prints the port it listens on and runs until it is ended."""
