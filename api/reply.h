/* The answers: one envelope, one set of headers. */
#ifndef API_REPLY_H
#define API_REPLY_H

#include <stddef.h>

#include "base/buf.h"
#include "base/http.h"

enum {
	REPLY_ID_MAX = 64,         /* of a request id that a client brings */
	REPLY_BODY_MAX = 64 << 20, /* a list of some 100 000 functions */
	REPLY_HEADERS_MAX = 12,
};

/* Appends `text` as a JSON string. What is not UTF-8 becomes U+FFFD. */
void reply_string(struct buf *out, const char *text);

/* True for 1 to REPLY_ID_MAX bytes of A-Z a-z 0-9 . _ -  */
bool reply_id_valid(const char *id);

/* An answer under construction. */
struct reply {
	struct http_req *http;
	struct buf *body; /* borrowed: the caller keeps its memory from one answer to the next */
	struct http_header headers[REPLY_HEADERS_MAX];
	size_t header_count;
};
/* Everything is borrowed until the reply is sent. Clears `body`. */
void reply_begin(struct reply *reply, struct http_req *http, struct buf *body,
                 const char *request_id);
/* One more header; past REPLY_HEADERS_MAX (a bug) it is left out. */
void reply_header(struct reply *reply, const char *name, const char *value);

/* Opens {"success":true,"data":{ in the body; the caller appends the members of data. */
void reply_data(struct reply *reply);
/* Closes and sends what reply_data opened, with a 2xx. Returns the status that went out: 500 when the
 * body had not fitted into its buffer. */
int reply_send(struct reply *reply, int status);
/* Sends a text that is no envelope with 200. */
int reply_text(struct reply *reply, const char *type, const char *text, size_t len);
/* Sends {"success":false,"error":{"code":...,"message":...,"details":...}}; the code follows from the
 * status, `details` is a JSON text (NULL: left out). Returns the status. */
int reply_error(struct reply *reply, int status, const char *message, const char *details);
/* 500 without any memory of ours; returns it. */
int reply_out_of_memory(struct reply *reply);

#endif
