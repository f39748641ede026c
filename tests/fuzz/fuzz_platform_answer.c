/* Any bytes as a reply of the platform. Input: two bytes of status, one that says how long the
 * Retry-After header is, the header, the body. */
#include "platform/answer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts unless `text` is one line of valid UTF-8; jansson is the judge of the latter. */
static void check_text(const char *text, size_t size)
{
	if (!memchr(text, '\0', size))
		abort();
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			abort();
	json_t *json = json_string(text);
	if (!json)
		abort();
	json_decref(json);
}

static void check(const struct platform_answer *answer, int status)
{
	check_text(answer->code, sizeof(answer->code));
	check_text(answer->text, sizeof(answer->text));
	if (answer->status != status || answer->retry_after_ms < 0 ||
	    answer->retry_after_ms > PLATFORM_RETRY_AFTER_MAX_MS)
		abort();
	if (answer->fault != PLATFORM_ANSWERED && answer->fault != PLATFORM_MALFORMED)
		abort();
	if (answer->fault == PLATFORM_MALFORMED && (*answer->code || !*answer->text))
		abort();
	if (answer->fault == PLATFORM_MALFORMED)
		return;
	if (status < 200 || status > 599 || (status > 299 && status < 400))
		abort();
	if (status == 404 && strcmp(answer->code, "not_found") != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct platform_answer answer;
	char retry_after[256];
	if (size < 3)
		return 0;
	int status = (data[0] << 8 | data[1]) % 700;
	size_t len = data[2] < size - 3 ? data[2] : size - 3;
	memcpy(retry_after, data + 3, len);
	retry_after[len] = '\0';
	/* A copy of its own, so that the sanitizer sees a byte read too many. */
	size_t body_len = size - 3 - len;
	char *body = malloc(body_len ? body_len : 1);
	if (!body)
		return 0;
	memcpy(body, data + 3 + len, body_len);
	const struct platform_reply reply = {
	    .status = status,
	    .retry_after = data[2] ? retry_after : NULL,
	    .body = body,
	    .len = body_len,
	};
	platform_answer_read(&reply, 1767225600000000, &answer);
	check(&answer, status);
	free(body);
	return 0;
}
