"""What the machine gives: files, claims, processors, memory, worker processes, output."""
