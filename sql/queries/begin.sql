-- Open a transaction (blocking connections only).
BEGIN
