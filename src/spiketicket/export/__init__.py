"""Tickets written for other programs. Needs no PyTorch: it reads a ticket's engine program."""
