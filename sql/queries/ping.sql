-- Is the server there? No parameters.
SELECT 1
