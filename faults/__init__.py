"""What breaks on purpose: processes killed, calls failed, bytes changed, and what is left afterwards. `make faults`."""
