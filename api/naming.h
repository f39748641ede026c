/* How functions and aliases are named: the contract's rules, pure. */
#ifndef API_NAMING_H
#define API_NAMING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/uuid.h"

enum { NAMING_SLUG_SIZE = 49, NAMING_LABEL_SIZE = 64 };

/* The slug of a name: lower case, each run of anything but a-z and 0-9 one dash, none at the ends;
 * "function" when nothing is left; longer than 48: the first 39 and a digest of the name. */
void naming_slug(const char *name, char out[NAMING_SLUG_SIZE]);
/* The first label of the function's host: the slug and a digest of the team. */
void naming_domain_label(const char *slug, const struct uuid *team_id, char out[NAMING_LABEL_SIZE]);
/* True for a DNS label (RFC 1035 2.3.1, digits first allowed): 1 to 63 of a-z 0-9 -, no dash at the ends. */
bool naming_is_label(const char *text);
/* True for NULL and for what is white space only. */
bool naming_is_blank(const char *text);
/* The part of `text` between white space at its ends; *ret_len 0 for a blank one. */
const char *naming_trim(const char *text, size_t *ret_len);
/* That part into `size` bytes; of one that is too long what fits, without half a character (UTF-8) or white
 * space at its end. */
void naming_copy(const char *text, char *out, size_t size);

#endif
