#include "uuid.h"

#include <string.h>
#include <strings.h>

#include "num.h"
#include "rand.h"

enum { PLAIN_LEN = 36, BARE_LEN = 32 };

int uuid_parse_plain(const char *text, size_t len, struct uuid *ret)
{
	if (len != PLAIN_LEN || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-')
		return -1;
	struct uuid uuid;
	if (num_unhex(text, 8, uuid.bytes) < 0 || num_unhex(text + 9, 4, uuid.bytes + 4) < 0 ||
	    num_unhex(text + 14, 4, uuid.bytes + 6) < 0 ||
	    num_unhex(text + 19, 4, uuid.bytes + 8) < 0 ||
	    num_unhex(text + 24, 12, uuid.bytes + 10) < 0)
		return -1;
	*ret = uuid;
	return 0;
}

int uuid_parse(const char *text, size_t len, struct uuid *ret)
{
	static const char urn[] = "urn:uuid:";
	const size_t urn_len = sizeof(urn) - 1;
	if (len == PLAIN_LEN + urn_len && strncasecmp(text, urn, urn_len) == 0)
		return uuid_parse_plain(text + urn_len, PLAIN_LEN, ret);
	if (len == PLAIN_LEN + 2 && text[0] == '{' && text[len - 1] == '}')
		return uuid_parse_plain(text + 1, PLAIN_LEN, ret);
	if (len == BARE_LEN)
		return num_unhex(text, len, ret->bytes);
	return uuid_parse_plain(text, len, ret);
}

void uuid_format(const struct uuid *uuid, char *out)
{
	static const uint8_t groups[] = {4, 2, 2, 2, 6};
	const uint8_t *from = uuid->bytes;
	for (size_t i = 0; i < sizeof(groups); from += groups[i], i++) {
		num_hex(from, groups[i], out);
		out += 2 * groups[i];
		*out++ = '-';
	}
	out[-1] = '\0';
}

struct uuid uuid_random(void)
{
	struct uuid uuid;
	rand_bytes(uuid.bytes, sizeof(uuid.bytes));
	uuid.bytes[6] = (uint8_t)((uuid.bytes[6] & 0x0f) | 0x40);
	uuid.bytes[8] = (uint8_t)((uuid.bytes[8] & 0x3f) | 0x80);
	return uuid;
}

bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool uuid_is_nil(const struct uuid *uuid)
{
	static const struct uuid nil;
	return uuid_equal(uuid, &nil);
}
