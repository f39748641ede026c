/* The checked form of the [platform] section: where the platform is and how we show who we are. */
#ifndef PLATFORM_ENDPOINT_H
#define PLATFORM_ENDPOINT_H

#include <curl/curl.h>
#include <stdbool.h>

#include "platform.h"

struct endpoint { /* release with endpoint_done() */
	CURLU *url;   /* "https://host:port/", no more */
	bool https;
	char *authorization; /* the header line with the token; wiped when released */
	char *ca_file;       /* NULL: the system's authorities */
};

/* Copies what it needs of `config`. 0, or -1 and *err: ERR_REJECT "config" for a URL, token or CA
 * file that cannot be used (the text names neither URL nor token); ERR_RETRY without memory. */
int endpoint_init(struct endpoint *endpoint, const struct platform_config *config,
                  struct err *err) MUST_CHECK;
void endpoint_done(struct endpoint *endpoint); /* safe on {0} */

#endif
