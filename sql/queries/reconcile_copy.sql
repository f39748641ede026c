-- What the platform shows, streamed in.
COPY pg_temp.seen (kind, team_id, id, template_id, source_volume_id, user_id, status, created_at, again) FROM STDIN
