#include "endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define ROW(field, type, min, max, def, secret, help)                                      \
	{                                                                                      \
#field, type, offsetof(struct platform_config, field), min, max, def, secret, help \
	}

static const struct config_row config_rows[] = {
    ROW(url, CONFIG_STR, 0, 0, NULL, false,
        "Where the sandbox platform's API is: http:// or https://, a host and a port if it is not "
        "the scheme's own. No path: /api/v1/... is added to it. A certificate is always verified."),
    ROW(token, CONFIG_STR, 0, 0, NULL, true,
        "An API key of scope platform, which may act for every team. Sent as a bearer token."),
    ROW(ca_file, CONFIG_STR, 0, 0, "", false,
        "PEM file of the only authorities that are trusted for https. Empty: the system's."),
    ROW(connect_timeout_ms, CONFIG_I64, 1, 60000, "2000", false,
        "How long a new connection may take, with look-up of the name and TLS."),
    ROW(timeout_ms, CONFIG_I64, 1, 600000, "15000", false,
        "How long one whole call may take, waiting for a connection included."),
    ROW(connections_max, CONFIG_I64, 1, 10000, "256", false,
        "Connections to the platform at most. Calls beyond it wait for one, and their time runs: "
        "keep it at or above the calls in flight."),
    ROW(body_max_bytes, CONFIG_I64, 1024, 67108864, "4194304", false,
        "The longest answer that is read. A longer one counts as a failed call. The longest is the "
        "listing of a team's volumes, which has no pages: about 400 bytes a volume. A page of "
        "sandboxes, 200 at most, has some 75000."),
};
#undef ROW

const struct config_section platform_section = {
    .name = "platform",
    .help = "The sandbox platform whose sandboxes and volumes are deleted.",
    .rows = config_rows,
    .row_count = N_OF(config_rows),
};

static bool has_part(CURLU *url, CURLUPart part)
{
	char *text = NULL;
	CURLUcode rc = curl_url_get(url, part, &text, 0);
	curl_free(text);
	return rc == CURLUE_OK;
}

static bool part_is(CURLU *url, CURLUPart part, const char *want)
{
	char *text = NULL;
	bool same = curl_url_get(url, part, &text, 0) == CURLUE_OK && strcmp(text, want) == 0;
	curl_free(text);
	return same;
}

/* What is wrong with the URL; NULL when nothing is. */
static const char *url_fault(CURLU *url, const char *text)
{
	if (curl_url_set(url, CURLUPART_URL, text, CURLU_PATH_AS_IS) != CURLUE_OK)
		return "it is not a URL of the form https://host:port";
	if (!part_is(url, CURLUPART_SCHEME, "http") && !part_is(url, CURLUPART_SCHEME, "https"))
		return "its scheme must be http or https";
	if (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD))
		return "it must not hold a user name or a password";
	if (strpbrk(text, "?#"))
		return "it must not have a query or a fragment";
	if (!part_is(url, CURLUPART_PATH, "/"))
		return "it must not have a path";
	return NULL;
}

static int set_url(struct endpoint *endpoint, const char *text, struct err *err)
{
	CURLU *url = endpoint->url = curl_url();
	if (!url)
		return err_oom(err);
	const char *fault = url_fault(url, text);
	endpoint->https = part_is(url, CURLUPART_SCHEME, "https");
	if (fault) /* without the URL itself: it may hold a password */
		return err_set(err, ERR_REJECT, "config", "platform.url cannot be used: %s", fault);
	return 0;
}

/* RFC 6750 2.1 would allow less; what matters is that no header can be ended inside. */
static int set_token(struct endpoint *endpoint, const char *token, struct err *err)
{
	struct buf line;
	for (const char *c = token; *c; c++)
		if (*c <= ' ' || *c > '~')
			return err_set(err, ERR_REJECT, "config",
			               "platform.token holds a space or another character no token has");
	if (!*token)
		return err_set(err, ERR_REJECT, "config", "platform.token is empty");
	buf_init(&line, strlen(token) + 64);
	(void)buf_printf(&line, "Authorization: Bearer %s", token);
	endpoint->authorization = buf_take(&line);
	return endpoint->authorization ? 0 : err_oom(err);
}

/* libcurl would find out with the first connection; a configuration is checked at the start. */
static int set_ca_file(struct endpoint *endpoint, const char *path, struct err *err)
{
	char line[1024];
	bool found = false;
	if (!*path)
		return 0;
	FILE *file = fopen(path, "re");
	if (!file)
		return err_set(err, ERR_REJECT, "config", "cannot read platform.ca_file %s: %s", path,
		               strerror(errno));
	while (!found && fgets(line, sizeof(line), file))
		found = strncmp(line, "-----BEGIN ", 11) == 0 && strstr(line, "CERTIFICATE-----");
	(void)fclose(file);
	if (!found)
		return err_set(err, ERR_REJECT, "config", "platform.ca_file %s holds no PEM certificate",
		               path);
	endpoint->ca_file = strdup(path);
	return endpoint->ca_file ? 0 : err_oom(err);
}

int endpoint_init(struct endpoint *endpoint, const struct platform_config *config, struct err *err)
{
	*endpoint = (struct endpoint){0};
	if (set_url(endpoint, config->url, err) == 0 && set_token(endpoint, config->token, err) == 0 &&
	    set_ca_file(endpoint, config->ca_file, err) == 0)
		return 0;
	endpoint_done(endpoint);
	return -1;
}

void endpoint_done(struct endpoint *endpoint)
{
	if (endpoint->authorization)
		explicit_bzero(endpoint->authorization, strlen(endpoint->authorization));
	free(endpoint->authorization);
	curl_url_cleanup(endpoint->url);
	free(endpoint->ca_file);
	*endpoint = (struct endpoint){0};
}
