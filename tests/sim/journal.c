#include "journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/trace.h"

enum { CHUNK_ENTRIES = 16384, TEAMS_MAX = 100000, LOOK_MAX = 500000 };

static const char *const methods[] = {"GET",   "POST", "DELETE",  "PUT",
                                      "PATCH", "HEAD", "OPTIONS", "?"};
static const char *const ends[] = {"pending", "hang", "reset", "lost"};

void journal_init(struct journal *journal)
{
	*journal = (struct journal){.first = 1, .next = 1};
	ids_init(&journal->teams, TEAMS_MAX);
}

static struct journal_entry *entry_at(const struct journal *journal, uint64_t seq)
{
	return &journal->chunks[seq / CHUNK_ENTRIES - journal->chunk_first][seq % CHUNK_ENTRIES];
}

/* Drops the oldest entries until `kept` are left. */
static void drop(struct journal *journal, uint64_t kept)
{
	while (journal->next - journal->first > kept) {
		free(entry_at(journal, journal->first)->path);
		free(entry_at(journal, journal->first)->made);
		journal->first++;
		journal->dropped++;
		if (journal->first / CHUNK_ENTRIES == journal->chunk_first)
			continue;
		free(journal->chunks[0]);
		journal->chunk_count--;
		journal->chunk_first++;
		memmove(journal->chunks, journal->chunks + 1,
		        journal->chunk_count * sizeof(struct journal_entry *));
	}
}

void journal_done(struct journal *journal)
{
	drop(journal, 0);
	for (size_t i = 0; i < journal->chunk_count; i++)
		free(journal->chunks[i]);
	free(journal->chunks);
	ids_done(&journal->teams);
}

void journal_reset(struct journal *journal)
{
	journal_done(journal);
	journal_init(journal);
}

/* Room for entry `next`. */
static int reserve(struct journal *journal)
{
	size_t need = (size_t)(journal->next / CHUNK_ENTRIES - journal->chunk_first) + 1;
	if (need <= journal->chunk_count)
		return 0;
	if (journal->chunk_count == journal->chunk_cap) {
		size_t cap = journal->chunk_cap ? journal->chunk_cap * 2 : 16;
		struct journal_entry **chunks =
		    realloc(journal->chunks, cap * sizeof(struct journal_entry *));
		if (!chunks)
			return -1;
		journal->chunks = chunks;
		journal->chunk_cap = cap;
	}
	struct journal_entry *chunk = malloc(CHUNK_ENTRIES * sizeof(*chunk));
	if (!chunk)
		return -1;
	journal->chunks[journal->chunk_count++] = chunk;
	return 0;
}

static uint8_t method_number(const char *method)
{
	uint8_t at = 0;
	while (at < N_OF(methods) - 1 && strcmp(methods[at], method) != 0)
		at++;
	return at;
}

/* "00-<32>-<16>-<2>" to 25 bytes. */
static bool read_trace(const char *text, uint8_t bytes[25])
{
	size_t len = text ? strlen(text) : 0;
	return len == TRACE_SIZE - 1 && trace_valid(text, len) && num_unhex(text + 3, 32, bytes) == 0 &&
	       num_unhex(text + 36, 16, bytes + 16) == 0 && num_unhex(text + 53, 2, bytes + 24) == 0;
}

/* True when op and id do not say the whole path. */
static bool needs_path(const struct journal_request *request)
{
	return request->target->op == OP_OTHER || request->target->parent[0];
}

uint64_t journal_begin(struct journal *journal, const struct journal_request *request,
                       int64_t entries_max)
{
	if (reserve(journal) < 0)
		return 0;
	struct journal_entry *entry = entry_at(journal, journal->next);
	*entry = (struct journal_entry){.at_us = request->at_us,
	                                .team = IDS_NONE,
	                                .mounts_active = request->mounts_active,
	                                .op = (uint8_t)request->target->op,
	                                .method = method_number(request->method),
	                                .live = request->live};
	entry->force = request->query_force && strcmp(request->query_force, "true") == 0;
	entry->trace = read_trace(request->traceparent, entry->trace_bytes);
	if (request->team)
		entry->team = ids_add(&journal->teams, request->team, strlen(request->team));
	if (needs_path(request))
		entry->path = strdup(request->path);
	memcpy(entry->id, request->target->id, sizeof(entry->id));
	journal->next++;
	drop(journal, (uint64_t)entries_max);
	return journal->next - 1;
}

/* NULL when it is not kept, or not any more. */
static struct journal_entry *find(const struct journal *journal, uint64_t seq)
{
	return seq >= journal->first && seq < journal->next ? entry_at(journal, seq) : NULL;
}

void journal_made(struct journal *journal, uint64_t seq, const char *id)
{
	struct journal_entry *entry = find(journal, seq);
	if (entry && !entry->made)
		entry->made = strdup(id);
}

void journal_end(struct journal *journal, uint64_t seq, enum op op, int status)
{
	journal->counts[op][status < JOURNAL_STATUS_MAX ? status : JOURNAL_PENDING]++;
	struct journal_entry *entry = find(journal, seq);
	if (entry)
		entry->status = (uint16_t)status;
}

/* ---- writing ---- */

static void write_string(struct buf *out, const char *text)
{
	(void)buf_char(out, '"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c < ' ' || c > '~' || c == '"' || c == '\\')
			(void)buf_printf(out, "\\u%04x", c);
		else
			(void)buf_char(out, (char)c);
	}
	(void)buf_char(out, '"');
}

static void write_path(const struct journal_entry *entry, struct buf *out)
{
	static const char *const tails[OP_COUNT] = {[OP_SANDBOX_PAUSE] = "/pause",
	                                            [OP_SANDBOX_RESUME] = "/resume",
	                                            [OP_VOLUME_FORK] = "/fork",
	                                            [OP_SNAPSHOT_CREATE] = "/snapshots"};
	if (entry->path) {
		write_string(out, entry->path);
		return;
	}
	(void)buf_str(out,
	              entry->op >= OP_VOLUME_LIST ? "\"/api/v1/sandboxvolumes" : "\"/api/v1/sandboxes");
	if (entry->id[0])
		(void)buf_char(out, '/');
	(void)buf_percent(out, entry->id);
	(void)buf_str(out, tails[entry->op] ? tails[entry->op] : "");
	(void)buf_char(out, '"');
}

static void write_trace(const struct journal_entry *entry, struct buf *out)
{
	char hex[51];
	if (!entry->trace)
		return;
	num_hex(entry->trace_bytes, sizeof(entry->trace_bytes), hex);
	(void)buf_printf(out, ",\"traceparent\":\"00-%.32s-%.16s-%.2s\"", hex, hex + 32, hex + 48);
}

static void write_status(uint64_t status, struct buf *out)
{
	if (status < N_OF(ends))
		(void)buf_printf(out, "\"%s\"", ends[status]);
	else
		(void)buf_i64(out, (int64_t)status);
}

static void write_entry(const struct journal *journal, uint64_t seq, struct buf *out)
{
	const struct journal_entry *entry = entry_at(journal, seq);
	(void)buf_printf(out, "{\"seq\":%llu,\"at_us\":%lld,\"op\":\"%s\",\"method\":\"%s\",\"path\":",
	                 (unsigned long long)seq, (long long)entry->at_us, op_name(entry->op),
	                 methods[entry->method]);
	write_path(entry, out);
	(void)buf_str(out, ",\"id\":");
	write_string(out, entry->id);
	if (entry->made)
		(void)buf_printf(out, ",\"made\":\"%s\"", entry->made);
	(void)buf_printf(out, ",\"team\":\"%s\"", ids_text(&journal->teams, entry->team));
	write_trace(entry, out);
	(void)buf_str(out, ",\"status\":");
	write_status(entry->status, out);
	(void)buf_printf(out, ",\"force\":%s,\"live\":%s,\"mounts_active\":%u}",
	                 entry->force ? "true" : "false", entry->live ? "true" : "false",
	                 entry->mounts_active);
}

static bool wanted(const struct journal_entry *entry, const struct journal_query *query,
                   uint32_t team)
{
	if (query->op != OP_COUNT && query->op != entry->op)
		return false;
	if (query->team[0] && (team == IDS_NONE || entry->team != team))
		return false;
	return !query->id[0] || strcmp(query->id, entry->id) == 0;
}

void journal_write(const struct journal *journal, const struct journal_query *query,
                   struct buf *out)
{
	uint64_t seq = query->since > journal->first ? query->since : journal->first;
	uint32_t team = ids_find(&journal->teams, query->team, strlen(query->team));
	int64_t written = 0;
	(void)buf_str(out, "{\"entries\":[");
	for (int look = 0; seq < journal->next && written < query->limit && look < LOOK_MAX; look++) {
		if (wanted(entry_at(journal, seq), query, team)) {
			if (written++ > 0)
				(void)buf_char(out, ',');
			write_entry(journal, seq, out);
		}
		seq++;
	}
	(void)buf_printf(out, "],\"next\":%llu,\"end\":%llu,\"dropped\":%llu}", (unsigned long long)seq,
	                 (unsigned long long)journal->next, (unsigned long long)journal->dropped);
}

static void write_op(const struct journal *journal, enum op op, struct buf *out)
{
	bool first = true;
	for (size_t status = 1; status < JOURNAL_STATUS_MAX; status++) {
		uint64_t count = journal->counts[op][status];
		if (count == 0)
			continue;
		(void)buf_str(out, first ? "" : ",");
		if (status < N_OF(ends))
			(void)buf_printf(out, "\"%s\":", ends[status]);
		else
			(void)buf_printf(out, "\"%zu\":", status);
		(void)buf_i64(out, (int64_t)count);
		first = false;
	}
}

void journal_write_counters(const struct journal *journal, struct buf *out)
{
	for (enum op op = 0; op < OP_COUNT; op++) {
		(void)buf_printf(out, "%c\"%s\":{", op ? ',' : '{', op_name(op));
		write_op(journal, op, out);
		(void)buf_char(out, '}');
	}
	(void)buf_char(out, '}');
}
