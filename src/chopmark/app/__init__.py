"""What each verb does: one handler per op, and the one door they are called through."""
