/* Faults on purpose: a short list of rules, tried in order; the first that applies wins. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"
#include "op.h"

enum { FAULTS_MAX = 256, FAULT_TEXT_SIZE = 64 };

enum effect {
	EFFECT_NONE,
	EFFECT_STATUS,    /* an error answer; nothing happens in the world */
	EFFECT_LATENCY,   /* later, but normal */
	EFFECT_HANG,      /* nothing happens, and no answer ever comes */
	EFFECT_RESET,     /* nothing happens; the connection is closed without an answer */
	EFFECT_TRUNCATED, /* it happens; the answer's JSON breaks off in the middle */
	EFFECT_MALFORMED, /* it happens; the answer is JSON, but no envelope */
	EFFECT_HUGE,      /* it happens; the answer is padded to `bytes` */
	EFFECT_LOST,      /* it happens; the connection is closed without an answer */
	EFFECT_HTML404,   /* nothing happens; a proxy's own "not found" page */
	EFFECT_COUNT,
};

struct fault {
	int64_t id;
	/* Which requests: empty texts and OP_COUNT stand for any. */
	enum op op;
	char method[8], team[ID_MAX_BYTES + 1], thing[ID_MAX_BYTES + 1];
	char *path_prefix; /* owned by the list; do not use it in a copy */
	double percent;
	int64_t count; /* how often it still applies; 0: for ever */
	int64_t skip;  /* lets so many requests that match pass first */
	/* What happens. */
	enum effect effect;
	int64_t latency_ms; /* waits so long before the effect, whatever it is */
	int64_t status;
	char code[FAULT_TEXT_SIZE];        /* of the envelope */
	char retry_after[FAULT_TEXT_SIZE]; /* header value; "": none */
	bool plain;                        /* {"error":"text"} in place of the envelope */
	int64_t bytes;
	/* Statistics. */
	uint64_t seen, hits;
};
struct faults {
	struct fault *rules; /* owned */
	size_t count;
	int64_t last_id;
};
struct fault_request {
	const char *method, *path, *team;
	const struct op_target *target;
};

void faults_done(struct faults *faults); /* forgets all rules; safe on {0} */
/* Reads a rule and puts it at the end. -1 and *err (ERR_REJECT): what is wrong with it. */
int faults_add(struct faults *faults, json_t *rule, int64_t *ret_id, struct err *err) MUST_CHECK;
/* False when there is no such rule. */
bool faults_remove(struct faults *faults, int64_t id);
/* The first rule that applies to the request, copied; its count goes down, and a rule that is used
 * up disappears. A rule whose dice say no lets the next one try. */
bool faults_match(struct faults *faults, const struct fault_request *request, int64_t seed,
                  struct fault *ret);
/* All rules as a JSON array. */
void faults_write(const struct faults *faults, struct buf *out);

/* The envelope's code that goes with a status. */
const char *fault_code(int64_t status);

#endif
