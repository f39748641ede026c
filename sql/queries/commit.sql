-- Close it.
COMMIT
