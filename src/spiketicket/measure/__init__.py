"""What a net does and costs: every measurement states its assumptions."""
