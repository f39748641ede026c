#include "platform.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "answer.h"
#include "base/buf.h"
#include "endpoint.h"
#include "meter.h"
#include "request.h"
#include "watch.h"

enum {
	PATH_MAX_BYTES = 2048,       /* two ids, each byte as %XX, and what is around them */
	BODY_KEEP_BYTES = 64 * 1024, /* an idle call does not sit on more memory than this */
	KEEPALIVE_IDLE_S = 30,       /* TCP probes on a silent connection */
	KEEPALIVE_INTERVAL_S = 10,
	CONNECTION_LIFE_S = 300, /* an idle one older than this is not used again: it may lead to a
	                          * part of the platform that is no longer meant to be asked */
};

/* ---- tables ---- */

/* What libcurl's results are to us. A result that is not here broke off in the middle. */
static const struct {
	CURLcode code;
	enum platform_fault fault;
} faults[] = {
    {CURLE_COULDNT_RESOLVE_HOST, PLATFORM_CONNECT},
    {CURLE_COULDNT_CONNECT, PLATFORM_CONNECT},
    {CURLE_SSL_CONNECT_ERROR, PLATFORM_CONNECT},
    {CURLE_PEER_FAILED_VERIFICATION, PLATFORM_CONNECT},
    {CURLE_SSL_CERTPROBLEM, PLATFORM_CONNECT},
    {CURLE_SSL_CIPHER, PLATFORM_CONNECT},
    {CURLE_SSL_CACERT_BADFILE, PLATFORM_CONNECT},
    {CURLE_SSL_ISSUER_ERROR, PLATFORM_CONNECT},
    {CURLE_SSL_INVALIDCERTSTATUS, PLATFORM_CONNECT},
    {CURLE_OPERATION_TIMEDOUT, PLATFORM_TIMEOUT}, /* only connecting has a limit of libcurl's */
    {CURLE_FILESIZE_EXCEEDED, PLATFORM_TOO_LARGE},
    {CURLE_UNSUPPORTED_PROTOCOL, PLATFORM_MALFORMED}, /* an answer without a status line */
    {CURLE_WEIRD_SERVER_REPLY, PLATFORM_MALFORMED},
    {CURLE_BAD_CONTENT_ENCODING, PLATFORM_MALFORMED},
};

static enum platform_fault fault_of(CURLcode code)
{
	for (size_t i = 0; i < N_OF(faults); i++)
		if (faults[i].code == code)
			return faults[i].fault;
	return PLATFORM_RESET;
}

/* ---- state ---- */

static const char team_name[] = "X-Team-ID: ", trace_name[] = "traceparent: ";
enum { TEAM_AT = sizeof(team_name) - 1, TRACE_AT = sizeof(trace_name) - 1 };

/* A call's easy handle, buffers and header lines are used again by later calls; its options that
 * never change are set once. */
struct platform_call {
	struct platform *platform;
	struct platform_call *next, **link; /* in platform->active; idle ones use only next */
	CURL *easy;
	enum platform_op op;
	void (*done)(void *arg, const struct platform_answer *answer);
	void *arg;
	int64_t sent_us;
	struct loop_timer deadline;
	struct buf body;
	bool too_large;
	bool sent; /* or at least begun */
	/* Two header lines of its own in front of the platform's. The list is read in place by
	 * libcurl, so its nodes can live here instead of being allocated for each call. */
	struct curl_slist team, trace;
	char team_text[TEAM_AT + UUID_TEXT_SIZE], trace_text[TRACE_AT + TRACE_SIZE];
	char error[CURL_ERROR_SIZE];
};

struct platform {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer; /* when libcurl wants to be called without an event */
	struct loop_task kick;   /* the same, at the end of this round */
	struct platform_call *active, *idle;
	int in_flight, idle_count;
	struct watches watches;

	int64_t connect_timeout_ms, timeout_us, connections_max, body_max_bytes;
	bool curl_ready;
	struct endpoint endpoint;
	struct curl_slist authorization, accept, agent; /* the end of every call's header lines */
	struct curl_slist content_type;                 /* and before it, where there is a body */
	struct buf path;                                /* of the call being sent */

	struct platform_memo memos[PLATFORM_OP_COUNT];
	struct meter meter;
};

/* ---- the end of a call ---- */

static void list_remove(struct platform_call *call)
{
	*call->link = call->next;
	if (call->next)
		call->next->link = call->link;
}

static void call_free(struct platform_call *call)
{
	if (!call)
		return;
	curl_easy_cleanup(call->easy);
	buf_done(&call->body);
	free(call);
}

/* Takes the call out of libcurl, which closes its connection unless the answer was complete, and
 * keeps its handle for another one. */
static void retire(struct platform_call *call)
{
	struct platform *platform = call->platform;
	(void)curl_multi_remove_handle(platform->multi, call->easy);
	loop_timer_stop(platform->loop, &call->deadline);
	list_remove(call);
	meter_in_flight(&platform->meter, --platform->in_flight);
	if (platform->idle_count >= platform->connections_max) {
		call_free(call);
		return;
	}
	if (call->body.cap > BODY_KEEP_BYTES)
		buf_done(&call->body);
	call->next = platform->idle;
	platform->idle = call;
	platform->idle_count++;
}

/* Reports what became of the call. It is retired first, so that its handle can serve a call that
 * `done` sends; nothing of it may be touched after, and a body that `done` may read leaves it before. */
static void finish(struct platform_call *call, struct platform_answer *answer)
{
	struct platform *platform = call->platform;
	AUTO(buf_done) struct buf body = {0};
	if (answer->body) {
		body = call->body;
		buf_init(&call->body, body.max);
	}
	void (*done)(void *, const struct platform_answer *) = call->done;
	void *arg = call->arg;
	answer->latency_us = loop_now_us(platform->loop) - call->sent_us;
	meter_count(&platform->meter, call->op, answer);
	retire(call);
	done(arg, answer);
}

static void read_reply(struct platform_call *call, struct platform_answer *answer)
{
	long status = 0, connects = 0;
	struct curl_header *retry_after = NULL;
	(void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
	(void)curl_easy_header(call->easy, "Retry-After", 0, CURLH_HEADER, -1, &retry_after);
	const struct platform_reply reply = {
	    .status = (int)status,
	    .listing = platform_op_lists(call->op),
	    .retry_after = retry_after ? retry_after->value : NULL,
	    .body = call->body.data,
	    .len = call->body.len,
	};
	/* The clock is read only for what may be a date. */
	int64_t wall_us = retry_after ? loop_wall_us(call->platform->loop) : 0;
	platform_answer_recall(&call->platform->memos[call->op], &reply, wall_us, answer);
	answer->reused = connects == 0;
	if (strcmp(platform_op_method(call->op), "DELETE") == 0)
		answer->body = NULL; /* it says nothing more */
}

static void read_fault(const struct platform_call *call, CURLcode code,
                       struct platform_answer *answer)
{
	enum platform_fault fault = fault_of(code);
	const char *text = *call->error ? call->error : curl_easy_strerror(code);
	if (call->too_large) {
		fault = PLATFORM_TOO_LARGE;
		text = "the answer is longer than body_max_bytes";
	} else if (code == CURLE_ABORTED_BY_CALLBACK) { /* see on_sending() */
		text = "the connection ended before an answer came";
	} else if (fault == PLATFORM_CONNECT && call->sent) { /* no connection, but for sending again */
		fault = PLATFORM_RESET;
	}
	platform_answer_fault(fault, text, answer);
}

static void on_result(struct platform_call *call, CURLcode code)
{
	struct platform_answer answer;
	if (code == CURLE_OK)
		read_reply(call, &answer);
	else
		read_fault(call, code, &answer);
	finish(call, &answer);
}

static void on_deadline(void *arg)
{
	struct platform_call *call = arg;
	struct platform_answer answer;
	platform_answer_fault(PLATFORM_TIMEOUT, "no complete answer within timeout_ms", &answer);
	finish(call, &answer);
}

/* ---- libcurl on the loop ---- */

/* A `done` that runs from here may send and cancel as it likes: libcurl is not on the stack, and a
 * cancelled call takes its message with it. */
static void take_results(struct platform *platform)
{
	CURLMsg *msg;
	int left;
	while ((msg = curl_multi_info_read(platform->multi, &left))) {
		struct platform_call *call = NULL;
		CURLcode code = msg->data.result;
		(void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &call);
		if (msg->msg == CURLMSG_DONE && call)
			on_result(call, code);
	}
}

static void on_timer(void *arg)
{
	struct platform *platform = arg;
	int running;
	(void)curl_multi_socket_action(platform->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	take_results(platform);
}

static int on_timer_change(CURLM *multi, long timeout_ms, void *arg)
{
	(void)multi;
	struct platform *platform = arg;
	loop_timer_stop(platform->loop, &platform->timer);
	if (timeout_ms == 0)
		loop_defer(platform->loop, &platform->kick);
	else if (timeout_ms > 0)
		loop_timer_set(platform->loop, &platform->timer, (int64_t)timeout_ms * 1000);
	return 0;
}

static void on_ready(void *arg, int fd, uint32_t events)
{
	struct platform *platform = arg;
	int bits = 0, running;
	if (!(events & (EPOLLERR | EPOLLHUP))) { /* with either, 0: libcurl finds out by itself */
		bits |= events & EPOLLIN ? CURL_CSELECT_IN : 0;
		bits |= events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
	}
	(void)curl_multi_socket_action(platform->multi, fd, bits, &running);
	take_results(platform);
}

/* Never fails toward libcurl, which would give up all transfers for good: a descriptor that cannot
 * be watched leaves one call to its deadline. */
static int on_socket_change(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	(void)easy, (void)socket_arg;
	struct platform *platform = arg;
	uint32_t events = 0;
	/* With CURL_POLL_REMOVE neither. */
	events |= what & CURL_POLL_IN ? EPOLLIN : 0;
	events |= what & CURL_POLL_OUT ? EPOLLOUT : 0;
	watches_want(&platform->watches, fd, events);
	return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct platform_call *call = arg;
	size_t len = size * count;
	call->too_large = len > call->body.max - call->body.len;
	return buf_add(&call->body, data, len) == 0 ? len : 0;
}

/* Before a request is sent. When a connection that was kept ends without a byte of an answer, libcurl
 * sends the request again on a new one, whatever its method, up to five times. What is deleted or
 * looked at twice is the same, but a POST may have made its thing the first time. */
static int on_sending(void *arg, char *ip, char *local_ip, int port, int local_port)
{
	(void)ip, (void)local_ip, (void)port, (void)local_port;
	struct platform_call *call = arg;
	bool again = call->sent;
	call->sent = true;
	return again && platform_op_makes(call->op) ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* A peer that acknowledges nothing for as long as a call may take is gone. Without this an HTTP/2
 * connection into the void would be used again and again: a call that times out ends its stream,
 * not the connection. */
static int on_socket_open(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	struct platform *platform = arg;
	unsigned timeout_ms = (unsigned)(platform->timeout_us / 1000);
	(void)purpose;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
	watches_opened(&platform->watches, fd);
	return CURL_SOCKOPT_OK;
}

static int on_socket_close(void *arg, curl_socket_t fd)
{
	struct platform *platform = arg;
	watches_closed(&platform->watches, fd);
	return close(fd);
}

/* ---- sending ---- */

/* Options that are the same for every call. Each failure is memory or a libcurl built without what
 * we need; TLS without verification is no option at all. */
static CURLcode set_once(struct platform_call *call)
{
	struct platform *platform = call->platform;
	CURL *easy = call->easy;
	CURLcode rc = CURLE_OK;
#define SET(option, value) rc = rc ? rc : curl_easy_setopt(easy, option, value)
	/* Parsed once; the path of each call goes around it (CURLOPT_REQUEST_TARGET), as it is. */
	SET(CURLOPT_CURLU, platform->endpoint.url);
	SET(CURLOPT_PRIVATE, call);
	SET(CURLOPT_ERRORBUFFER, call->error);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, call);
	SET(CURLOPT_PREREQFUNCTION, on_sending);
	SET(CURLOPT_PREREQDATA, call);
	SET(CURLOPT_HTTPHEADER, &call->team);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NOPROXY, "*");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L); /* a cancel must not wait for a name server */
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)platform->connect_timeout_ms);
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)platform->body_max_bytes);
	SET(CURLOPT_MAXLIFETIME_CONN, (long)CONNECTION_LIFE_S);
	SET(CURLOPT_SOCKOPTFUNCTION, on_socket_open);
	SET(CURLOPT_SOCKOPTDATA, platform);
	SET(CURLOPT_CLOSESOCKETFUNCTION, on_socket_close);
	SET(CURLOPT_CLOSESOCKETDATA, platform);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S);
	SET(CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_INTERVAL_S);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_PIPEWAIT, platform->endpoint.https ? 1L : 0L); /* share one if HTTP/2 lets us */
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	if (platform->endpoint.ca_file) {
		SET(CURLOPT_CAINFO, platform->endpoint.ca_file);
		SET(CURLOPT_CAPATH, NULL); /* these authorities instead of the system's, not besides */
	}
#undef SET
	return rc;
}

static struct platform_call *call_new(struct platform *platform)
{
	struct platform_call *call = calloc(1, sizeof(*call));
	if (!call)
		return NULL;
	call->platform = platform;
	call->easy = curl_easy_init();
	buf_init(&call->body, (size_t)platform->body_max_bytes);
	loop_timer_init(&call->deadline, on_deadline, call);
	memcpy(call->team_text, team_name, TEAM_AT);
	memcpy(call->trace_text, trace_name, TRACE_AT);
	call->team = (struct curl_slist){.data = call->team_text, .next = &call->trace};
	call->trace.data = call->trace_text;
	if (!call->easy || set_once(call) != CURLE_OK) {
		call_free(call);
		return NULL;
	}
	return call;
}

static struct platform_call *call_take(struct platform *platform)
{
	struct platform_call *call = platform->idle;
	if (!call)
		return call_new(platform);
	platform->idle = call->next;
	platform->idle_count--;
	buf_clear(&call->body);
	call->too_large = call->sent = false;
	call->error[0] = '\0';
	return call;
}

static void build_headers(struct platform_call *call, const struct platform_request *request)
{
	uuid_format(&request->team_id, call->team_text + TEAM_AT);
	trace_child(request->traceparent, call->trace_text + TRACE_AT);
	call->trace.next =
	    request->body ? &call->platform->content_type : &call->platform->authorization;
}

/* Method, path and body. Without one the last two lines take back what a POST left in the handle. */
static CURLcode set_request(const struct platform_call *call,
                            const struct platform_request *request)
{
	CURL *easy = call->easy;
	CURLcode rc = curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, call->platform->path.data);
	rc = rc ? rc : curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, platform_op_method(request->op));
	rc = rc ? rc : curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->body);
	return rc ? rc : curl_easy_setopt(easy, request->body ? CURLOPT_POST : CURLOPT_HTTPGET, 1L);
}

/* Hands the call to libcurl, which does no more than ask for a timer here. */
static int start(struct platform_call *call, const struct platform_request *request)
{
	struct platform *platform = call->platform;
	build_headers(call, request);
	if (set_request(call, request) != CURLE_OK ||
	    curl_multi_add_handle(platform->multi, call->easy) != CURLM_OK)
		return -1;
	call->op = request->op;
	call->done = request->done;
	call->arg = request->arg;
	call->sent_us = loop_now_us(platform->loop);
	return 0;
}

struct platform_call *platform_send(struct platform *platform,
                                    const struct platform_request *request, struct err *err)
{
	if (platform_request_path(request, &platform->path, err) < 0)
		return NULL;
	struct platform_call *call = call_take(platform);
	if (!call || start(call, request) < 0) {
		call_free(call);
		(void)err_oom(err);
		return NULL;
	}
	call->next = platform->active;
	call->link = &platform->active;
	if (call->next)
		call->next->link = &call->next;
	platform->active = call;
	loop_timer_set(platform->loop, &call->deadline, platform->timeout_us);
	meter_in_flight(&platform->meter, ++platform->in_flight);
	return call;
}

void platform_cancel(struct platform_call *call)
{
	struct platform_answer answer;
	platform_answer_fault(PLATFORM_CANCELLED, "cancelled", &answer);
	meter_count(&call->platform->meter, call->op, &answer);
	retire(call);
}

int platform_in_flight(const struct platform *platform)
{
	return platform->in_flight;
}

/* ---- the client itself ---- */

static int open_multi(struct platform *platform, struct err *err)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, ERR_FATAL, "curl", "cannot start libcurl");
	platform->curl_ready = true;
	CURLM *multi = platform->multi = curl_multi_init();
	CURLMcode rc = multi ? CURLM_OK : CURLM_OUT_OF_MEMORY;
#define SET(option, value) rc = rc ? rc : curl_multi_setopt(multi, option, value)
	SET(CURLMOPT_SOCKETFUNCTION, on_socket_change);
	SET(CURLMOPT_SOCKETDATA, platform);
	SET(CURLMOPT_TIMERFUNCTION, on_timer_change);
	SET(CURLMOPT_TIMERDATA, platform);
	SET(CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	SET(CURLMOPT_MAX_HOST_CONNECTIONS, (long)platform->connections_max);
	SET(CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)platform->connections_max);
	SET(CURLMOPT_MAXCONNECTS, (long)platform->connections_max);
#undef SET
	if (rc != CURLM_OK)
		return err_set(err, ERR_FATAL, "curl", "cannot set libcurl up: %s",
		               curl_multi_strerror(rc));
	return 0;
}

static void init(struct platform *platform, struct loop *loop, const struct platform_config *config)
{
	platform->loop = loop;
	platform->connect_timeout_ms = config->connect_timeout_ms;
	platform->timeout_us = config->timeout_ms * 1000;
	platform->connections_max = config->connections_max;
	platform->body_max_bytes = config->body_max_bytes;
	buf_init(&platform->path, PATH_MAX_BYTES);
	watches_init(&platform->watches, loop, on_ready, platform);
	loop_timer_init(&platform->timer, on_timer, platform);
	loop_task_init(&platform->kick, on_timer, platform);
}

/* What every call sends behind its own two lines. */
static void link_headers(struct platform *platform)
{
	static char accept[] = "Accept: application/json"; /* the list's type is not const */
	static char agent[] = "User-Agent: sandsweep";
	static char type[] = "Content-Type: application/json";
	platform->agent = (struct curl_slist){.data = agent};
	platform->accept = (struct curl_slist){.data = accept, .next = &platform->agent};
	platform->authorization = (struct curl_slist){
	    .data = platform->endpoint.authorization,
	    .next = &platform->accept,
	};
	platform->content_type = (struct curl_slist){.data = type, .next = &platform->authorization};
}

struct platform *platform_new(struct loop *loop, const struct platform_config *config,
                              struct metrics *metrics, struct err *err)
{
	struct platform *platform = calloc(1, sizeof(*platform));
	if (!platform) {
		(void)err_oom(err);
		return NULL;
	}
	init(platform, loop, config);
	meter_init(&platform->meter, metrics);
	if (endpoint_init(&platform->endpoint, config, err) < 0 || open_multi(platform, err) < 0) {
		platform_free(platform);
		return NULL;
	}
	link_headers(platform);
	return platform;
}

void platform_free(struct platform *platform)
{
	if (!platform)
		return;
	for (struct platform_call *call = platform->active, *next; call; call = next) {
		next = call->next;
		retire(call);
	}
	for (struct platform_call *call = platform->idle, *next; call; call = next) {
		next = call->next;
		call_free(call);
	}
	(void)curl_multi_cleanup(platform->multi);
	watches_done(&platform->watches);
	loop_timer_stop(platform->loop, &platform->timer);
	loop_task_cancel(platform->loop, &platform->kick);
	endpoint_done(&platform->endpoint);
	buf_done(&platform->path);
	if (platform->curl_ready)
		curl_global_cleanup();
	free(platform);
}
