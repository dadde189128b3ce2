"""What is said to the operator's own systems: the write-back, and the escalation address."""
