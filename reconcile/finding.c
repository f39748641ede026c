#include "finding.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const size_t texts[] = {
    offsetof(struct store_finding, class_name),  offsetof(struct store_finding, kind),
    offsetof(struct store_finding, resource_id), offsetof(struct store_finding, parent_id),
    offsetof(struct store_finding, proof),       offsetof(struct store_finding, action),
    offsetof(struct store_finding, verdict),     offsetof(struct store_finding, result),
    offsetof(struct store_finding, why),         offsetof(struct store_finding, evidence),
};

static const char **text_at(struct store_finding *finding, size_t i)
{
	return (const char **)(void *)((char *)finding + texts[i]);
}

struct store_finding *finding_copy(const struct store_finding *finding, struct err *err)
{
	struct store_finding with = *finding;
	size_t size = sizeof(with);
	for (size_t i = 0; i < N_OF(texts); i++)
		size += *text_at(&with, i) ? strlen(*text_at(&with, i)) + 1 : 0;
	struct store_finding *copy = malloc(size);
	if (!copy) {
		(void)err_oom(err);
		return NULL;
	}
	*copy = with;
	char *end = (char *)(copy + 1);
	for (size_t i = 0; i < N_OF(texts); i++) {
		const char *text = *text_at(&with, i);
		if (!text)
			continue;
		size_t len = strlen(text) + 1;
		memcpy(end, text, len);
		*text_at(copy, i) = end;
		end += len;
	}
	return copy;
}
