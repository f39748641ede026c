#include "naming.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

enum {
	SLUG_KEPT = 39, /* of one that is too long */
	DIGEST_LEN = 8, /* hex digits of SHA-1 */
	LABEL_BASE_MAX = NAMING_LABEL_SIZE - 1 - 1 - DIGEST_LEN,
};

/* The first byte of a name's character in lower case, as Unicode has it: two characters outside ASCII
 * become ASCII letters. *ret_len bytes were read. */
static char lower(const char *at, size_t *ret_len)
{
	static const struct {
		const char *upper;
		char lower;
	} folds[] = {{"\xe2\x84\xaa", 'k'} /* KELVIN SIGN */, {"\xc4\xb0", 'i'} /* I WITH DOT ABOVE */};
	*ret_len = 1;
	for (size_t i = 0; i < sizeof(folds) / sizeof(folds[0]); i++)
		if (strncmp(at, folds[i].upper, strlen(folds[i].upper)) == 0) {
			*ret_len = strlen(folds[i].upper);
			return folds[i].lower;
		}
	return *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
}

static bool plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static size_t trim_dashes(const char *text, size_t len)
{
	while (len > 0 && text[len - 1] == '-')
		len--;
	return len;
}

static void put_digest(const char *text, char out[DIGEST_LEN + 1])
{
	char hex[HASH_SHA1_HEX_SIZE];
	hash_sha1_hex(text, strlen(text), hex);
	memcpy(out, hex, DIGEST_LEN);
	out[DIGEST_LEN] = '\0';
}

void naming_slug(const char *name, char out[NAMING_SLUG_SIZE])
{
	size_t len = 0, step; /* of the whole slug, of which `out` keeps what fits */
	bool dash = false;
	for (const char *at = name; *at; at += step) {
		char c = lower(at, &step);
		if (!plain(c)) {
			dash = len > 0;
			continue;
		}
		if (dash && len++ < NAMING_SLUG_SIZE - 1)
			out[len - 1] = '-';
		dash = false;
		if (len++ < NAMING_SLUG_SIZE - 1)
			out[len - 1] = c;
	}
	if (len == 0) {
		(void)snprintf(out, NAMING_SLUG_SIZE, "function");
	} else if (len < NAMING_SLUG_SIZE) {
		out[len] = '\0';
	} else {
		char digest[DIGEST_LEN + 1];
		put_digest(name, digest);
		size_t kept = trim_dashes(out, SLUG_KEPT);
		(void)snprintf(out + kept, NAMING_SLUG_SIZE - kept, "-%s", digest);
	}
}

void naming_domain_label(const char *slug, const struct uuid *team_id, char out[NAMING_LABEL_SIZE])
{
	char team[UUID_TEXT_SIZE], digest[DIGEST_LEN + 1];
	uuid_format(team_id, team);
	put_digest(team, digest);
	size_t len = strlen(slug);
	if (len > LABEL_BASE_MAX)
		len = trim_dashes(slug, LABEL_BASE_MAX);
	(void)snprintf(out, NAMING_LABEL_SIZE, "%.*s-%s", (int)len, slug, digest);
}

bool naming_is_label(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
	return len > 0 && len < NAMING_LABEL_SIZE && text[len] == '\0' && text[0] != '-' &&
	       text[len - 1] != '-';
}

static const char spaces[] = " \t\r\n\v\f";

bool naming_is_blank(const char *text)
{
	return !text || text[strspn(text, spaces)] == '\0';
}

static size_t trim_spaces(const char *text, size_t len)
{
	while (len > 0 && strchr(spaces, text[len - 1]))
		len--;
	return len;
}

const char *naming_trim(const char *text, size_t *ret_len)
{
	text += strspn(text, spaces);
	*ret_len = trim_spaces(text, strlen(text));
	return text;
}

/* The second to fourth bytes of a character of UTF-8. */
static bool continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

void naming_copy(const char *text, char *out, size_t size)
{
	size_t len;
	text = naming_trim(text, &len);
	if (len >= size) {
		len = size - 1;
		while (len > 0 && continues(text[len]))
			len--;
		len = trim_spaces(text, len);
	}
	memcpy(out, text, len);
	out[len] = '\0';
}
