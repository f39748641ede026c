/* What HTTP lets a client say about a write: under which key its answer is kept (Idempotency-Key,
 * draft-ietf-httpapi-idempotency-key-header) and which version it means to change (If-Match, RFC 9110 13.1.1). */
#ifndef API_WRITE_H
#define API_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "sql/store_api.h"

struct exchange;

enum { WRITE_KEY_MAX = 255 };

/* ---- the texts: pure ---- */

/* 1 to WRITE_KEY_MAX visible ASCII bytes, in double quotes or not, into `out`. 0, or -1. */
int write_key_parse(const char *text, char out[WRITE_KEY_MAX + 1]) MUST_CHECK;
/* The entity tags of an If-Match header (NULL: none is given). A tag that is not of ours fits nothing, nor
 * does a weak one. 0, or -1 when it is no list of tags, or a longer one than STORE_VERSIONS_MAX. */
int write_match_parse(const char *text, struct store_match *ret) MUST_CHECK;
/* Sends the tag of this version with the answer. */
void write_etag(struct exchange *x, int64_t updated_at_us);

/* ---- the steps of a write ---- */

typedef void write_step(struct exchange *x);

/* A part of the exchange. */
struct write {
	bool keyed; /* there is a key */
	bool lost;  /* the change did not happen, and it is being looked up why */
	int lost_status;
	const char *lost_why;
	char key[WRITE_KEY_MAX + 1];
	char fingerprint[HASH_HEX_SIZE];
	struct store_match match;
	write_step *change;
	write_step *replay; /* asks the store for the answer that is kept */
};

/* Reads both headers, then runs `change`, or `replay` first when there is a key. Bad headers are answered. */
void write_begin(struct exchange *x, write_step *replay, write_step *change);

/* In the callback of `replay`, when it has no answer: nothing is kept, or (err) there was a failure. Goes on
 * with the change, or answers. */
void write_not_kept(struct exchange *x, const struct err *err, const char *failure);
/* The same, when there was one: the answer says so. */
void write_replayed(struct exchange *x);

/* In the callback of `change`, when it did not happen: another copy of this request may have been first. True:
 * it is looked up, and the answer follows; otherwise the caller answers. `status` and `why` are for when it
 * was not; they must outlive the exchange. */
bool write_beaten(struct exchange *x, int status, const char *why);

#endif
