/* Every public request in the order of arrival, for tests that ask "was this ever deleted?", and
 * counters by operation and status. Bounded: past its maximum the oldest entries go, and their
 * number is known. */
#ifndef SIM_JOURNAL_H
#define SIM_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "op.h"

/* In place of an HTTP status. */
enum journal_status { JOURNAL_PENDING, JOURNAL_HANG, JOURNAL_RESET, JOURNAL_LOST };
enum { JOURNAL_STATUS_MAX = 600 };

struct journal_entry {
	int64_t at_us;          /* CLOCK_REALTIME, of arrival */
	char *path;             /* owned; NULL: what the op and the id say */
	char *made;             /* owned id of what the request made; NULL: nothing */
	uint32_t team;          /* in the journal's own names; IDS_NONE: none was sent */
	uint32_t mounts_active; /* of the volume; of the sandbox: how many it has */
	uint16_t status;        /* HTTP or enum journal_status */
	uint8_t op, method;
	bool live;  /* the sandbox, volume or snapshot was there when the request arrived */
	bool force; /* ?force=true */
	bool trace; /* a well-formed traceparent came along */
	uint8_t trace_bytes[25]; /* trace id, span id, flags */
	char id[ID_MAX_BYTES + 1];
};
struct journal {
	struct journal_entry **chunks; /* owned */
	size_t chunk_count, chunk_cap;
	uint64_t chunk_first; /* the number of the first chunk that is kept */
	uint64_t first, next; /* sequence numbers kept: first <= seq < next; counted from 1 */
	uint64_t dropped;
	struct ids teams;
	uint64_t counts[OP_COUNT][JOURNAL_STATUS_MAX];
};

struct journal_request {
	const struct op_target *target;
	const char *method, *path, *query_force; /* query_force: "true" or anything; may be NULL */
	const char *team, *traceparent;          /* may be NULL */
	int64_t at_us;
	bool live;
	uint32_t mounts_active;
};

void journal_init(struct journal *journal);
void journal_done(struct journal *journal);
/* Forgets the entries and the counters; sequence numbers begin anew. */
void journal_reset(struct journal *journal);
/* Keeps at most entries_max entries, the new one included. Returns its sequence number, 0 without
 * memory. */
uint64_t journal_begin(struct journal *journal, const struct journal_request *request,
                       int64_t entries_max);
/* Says what a request made, whatever becomes of its answer. seq as of journal_begin(); 0: nothing is
 * kept. */
void journal_made(struct journal *journal, uint64_t seq, const char *id);
/* Says how a request ended, and counts it. seq 0 (not in the journal) is only counted. */
void journal_end(struct journal *journal, uint64_t seq, enum op op, int status);

struct journal_query {
	uint64_t since; /* from this sequence number on */
	int64_t limit;
	const char *id, *team; /* "": any */
	enum op op;            /* OP_COUNT: any */
};
/* {"next":N,"end":E,"dropped":D,"entries":[...]}: ask again since N while N < E. Looks at a bounded
 * number of entries, so a filter can come back with few or none. */
void journal_write(const struct journal *journal, const struct journal_query *query,
                   struct buf *out);
/* {"op":{"200":n,"hang":n}} */
void journal_write_counters(const struct journal *journal, struct buf *out);

#endif
