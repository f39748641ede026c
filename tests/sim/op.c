#include "op.h"

#include <string.h>

#include "base/num.h"

struct route {
	const char *method, *pattern; /* a '*' stands for one segment: an id */
};

#define SANDBOXES "/api/v1/sandboxes"
#define VOLUMES "/api/v1/sandboxvolumes"
static const struct route routes[OP_OTHER] = {
    [OP_SANDBOX_LIST] = {"GET", SANDBOXES},
    [OP_SANDBOX_GET] = {"GET", SANDBOXES "/*"},
    [OP_SANDBOX_CLAIM] = {"POST", SANDBOXES},
    [OP_SANDBOX_DELETE] = {"DELETE", SANDBOXES "/*"},
    [OP_SANDBOX_PAUSE] = {"POST", SANDBOXES "/*/pause"},
    [OP_SANDBOX_RESUME] = {"POST", SANDBOXES "/*/resume"},
    [OP_VOLUME_LIST] = {"GET", VOLUMES},
    [OP_VOLUME_GET] = {"GET", VOLUMES "/*"},
    [OP_VOLUME_CREATE] = {"POST", VOLUMES},
    [OP_VOLUME_FORK] = {"POST", VOLUMES "/*/fork"},
    [OP_VOLUME_DELETE] = {"DELETE", VOLUMES "/*"},
    [OP_SNAPSHOT_CREATE] = {"POST", VOLUMES "/*/snapshots"},
    [OP_SNAPSHOT_DELETE] = {"DELETE", VOLUMES "/*/snapshots/*"},
};

static const char *const names[OP_COUNT] = {
    [OP_SANDBOX_LIST] = "sandbox_list",       [OP_SANDBOX_GET] = "sandbox_get",
    [OP_SANDBOX_CLAIM] = "sandbox_claim",     [OP_SANDBOX_DELETE] = "sandbox_delete",
    [OP_SANDBOX_PAUSE] = "sandbox_pause",     [OP_SANDBOX_RESUME] = "sandbox_resume",
    [OP_VOLUME_LIST] = "volume_list",         [OP_VOLUME_GET] = "volume_get",
    [OP_VOLUME_CREATE] = "volume_create",     [OP_VOLUME_FORK] = "volume_fork",
    [OP_VOLUME_DELETE] = "volume_delete",     [OP_SNAPSHOT_CREATE] = "snapshot_create",
    [OP_SNAPSHOT_DELETE] = "snapshot_delete", [OP_OTHER] = "other",
};

const char *op_name(enum op op)
{
	return names[op];
}

enum op op_parse(const char *name)
{
	enum op op = 0;
	while (op < OP_COUNT && strcmp(names[op], name) != 0)
		op++;
	return op;
}

/* Reads one segment's id into `out`. Returns where it ends, or NULL. */
static const char *read_id(const char *at, char out[ID_MAX_BYTES + 1])
{
	size_t len = 0;
	for (; *at && *at != '/'; at++) {
		uint8_t byte = (uint8_t)*at;
		if (*at == '%') {
			if (!at[1] || num_unhex(at + 1, 2, &byte) < 0 || byte == 0)
				return NULL;
			at += 2;
		}
		if (len == ID_MAX_BYTES)
			return NULL;
		out[len++] = (char)byte;
	}
	out[len] = '\0';
	return len > 0 ? at : NULL;
}

/* The pattern's last id goes to id, the one before it to parent. */
static bool match(const char *pattern, const char *path, struct op_target *target)
{
	target->id[0] = target->parent[0] = '\0';
	for (; *pattern; pattern++) {
		if (*pattern != '*') {
			if (*pattern != *path++)
				return false;
			continue;
		}
		memcpy(target->parent, target->id, sizeof(target->parent));
		path = read_id(path, target->id);
		if (!path)
			return false;
	}
	return *path == '\0';
}

void op_find(const char *method, const char *path, struct op_target *ret)
{
	for (enum op op = 0; op < OP_OTHER; op++) {
		ret->op = op;
		if (strcmp(routes[op].method, method) == 0 && match(routes[op].pattern, path, ret))
			return;
	}
	*ret = (struct op_target){.op = OP_OTHER};
}
