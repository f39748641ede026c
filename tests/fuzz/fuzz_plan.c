/* libFuzzer target for plan_open and plan_each: a file of arbitrary bytes. So that it is not stopped by the
 * digest, an odd first byte has the rest sealed as a plan is. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "reconcile/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_item(void *arg, const struct store_finding *f, struct err *err)
{
	int64_t *count = arg;
	enum reconcile_class class_;
	(void)err;
	assert(f->id == ++*count);
	assert(reconcile_class_parse(f->class_name, &class_) == 0);
	assert(*f->resource_id && strlen(f->resource_id) <= 127);
	assert(f->evidence[0] == '{' && f->kind && f->action && f->proof);
	return 0;
}

static void put(int fd, const void *data, size_t len)
{
	if (write(fd, data, len) != (ssize_t)len)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reconcile_plan plan = {0};
	struct err err = {0};
	char path[64], seal[128], hex[HASH_HEX_SIZE];
	int fd = memfd_create("plan", MFD_CLOEXEC);
	if (fd < 0 || size == 0)
		return fd < 0 ? 0 : close(fd);
	put(fd, data + 1, size - 1);
	if (data[0] & 1) {
		hash_sha256_hex(data + 1, size - 1, hex);
		put(fd, seal, (size_t)snprintf(seal, sizeof(seal), "{\"sha256\":\"%s\"}\n", hex));
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (plan_open(path, &plan, &err) == 0) {
		int64_t count = 0;
		assert(plan_each(&plan, on_item, &count, &err) == 0);
		assert(count == plan.item_count);
		plan_close(&plan);
	} else {
		assert(err.kind == ERR_REJECT && strcmp(err.code, "plan") == 0);
	}
	return close(fd);
}
