-- Or undo it.
ROLLBACK
