/* The public API's operations, and which of them a method and a path are. */
#ifndef SIM_OP_H
#define SIM_OP_H

#include "ids.h"

enum op {
	OP_SANDBOX_LIST,
	OP_SANDBOX_GET,
	OP_SANDBOX_CLAIM,
	OP_SANDBOX_DELETE,
	OP_SANDBOX_PAUSE,
	OP_SANDBOX_RESUME,
	OP_VOLUME_LIST,
	OP_VOLUME_GET,
	OP_VOLUME_CREATE,
	OP_VOLUME_FORK,
	OP_VOLUME_DELETE,
	OP_SNAPSHOT_CREATE,
	OP_SNAPSHOT_DELETE,
	OP_OTHER, /* no such route */
	OP_COUNT,
};

struct op_target {
	enum op op;
	char id[ID_MAX_BYTES + 1];     /* percent-decoded; "" for an operation without one */
	char parent[ID_MAX_BYTES + 1]; /* a snapshot's volume; else "" */
};

/* `path` is raw, without a query. An id that is too long or badly coded makes it OP_OTHER. */
void op_find(const char *method, const char *path, struct op_target *ret);

const char *op_name(enum op op);    /* "sandbox_delete" */
enum op op_parse(const char *name); /* OP_COUNT for another word */

#endif
