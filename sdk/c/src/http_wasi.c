/* HTTP over the step's granted wasi:http. */

#include "host.h"

#ifdef __wasm__

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPES(name) IMPORT("wasi:http/types@0.2.12", name)
#define STREAMS(name) IMPORT("wasi:io/streams@0.2.12", name)

/* wasi:http's error-code, as far as it is read: its payloads begin at offset 8. */
typedef struct {
    uint8_t tag;
    _Alignas(8) option_text internal;
    char rest[24];
} code;
typedef struct {
    uint8_t failed;
    _Alignas(8) union {
        int32_t handle;
        code code;
    };
} result_code;
typedef struct {
    uint8_t some;
    _Alignas(8) struct {
        uint8_t gone;
        _Alignas(8) result_code value;
    };
} future_result;
typedef struct {
    uint8_t failed;
    union {
        text bytes;
        struct {
            uint8_t closed;
            int32_t error;
        };
    };
} stream_result;
typedef struct {
    uint8_t some;
    _Alignas(8) code code;
} option_code;
typedef struct {
    uint8_t failed;
    int32_t handle;
} result_handle;
typedef struct {
    void *items;
    size_t count;
} list;

TYPES("[static]fields.from-list") void fields_from_list(const pair *entries, size_t count, result_handle *ret);
TYPES("[method]fields.entries") void fields_entries(int32_t self, list *ret);
TYPES("[resource-drop]fields") void fields_drop(int32_t self);
TYPES("[constructor]outgoing-request") int32_t new_request(int32_t headers);
TYPES("[method]outgoing-request.set-method") int32_t set_method(int32_t self, int32_t tag, const char *name, size_t length);
TYPES("[method]outgoing-request.set-scheme") int32_t set_scheme(int32_t self, int32_t some, int32_t tag, const char *name, size_t length);
TYPES("[method]outgoing-request.set-authority") int32_t set_authority(int32_t self, int32_t some, const char *text, size_t length);
TYPES("[method]outgoing-request.set-path-with-query") int32_t set_path(int32_t self, int32_t some, const char *text, size_t length);
TYPES("[method]outgoing-request.body") void request_body(int32_t self, result_handle *ret);
TYPES("[constructor]request-options") int32_t new_options(void);
TYPES("[method]request-options.set-connect-timeout") int32_t set_connect_timeout(int32_t self, int32_t some, uint64_t time);
TYPES("[method]request-options.set-first-byte-timeout") int32_t set_first_byte_timeout(int32_t self, int32_t some, uint64_t time);
TYPES("[method]request-options.set-between-bytes-timeout") int32_t set_between_bytes_timeout(int32_t self, int32_t some, uint64_t time);
IMPORT("wasi:http/outgoing-handler@0.2.12", "handle") void handle(int32_t request, int32_t some, int32_t options, result_code *ret);
TYPES("[method]outgoing-body.write") void body_write(int32_t self, result_handle *ret);
TYPES("[static]outgoing-body.finish") void body_finish(int32_t self, int32_t some, int32_t trailers, result_code *ret);
TYPES("[method]future-incoming-response.subscribe") int32_t future_subscribe(int32_t self);
TYPES("[method]future-incoming-response.get") void future_get(int32_t self, future_result *ret);
TYPES("[resource-drop]future-incoming-response") void future_drop(int32_t self);
TYPES("[method]incoming-response.status") int32_t response_status(int32_t self);
TYPES("[method]incoming-response.headers") int32_t response_headers(int32_t self);
TYPES("[method]incoming-response.consume") void response_consume(int32_t self, result_handle *ret);
TYPES("[resource-drop]incoming-response") void response_drop(int32_t self);
TYPES("[method]incoming-body.stream") void body_stream(int32_t self, result_handle *ret);
TYPES("[resource-drop]incoming-body") void body_drop(int32_t self);
TYPES("http-error-code") void http_error_code(int32_t error, option_code *ret);
IMPORT("wasi:io/error@0.2.12", "[resource-drop]error") void error_drop(int32_t self);
STREAMS("[method]input-stream.subscribe") int32_t input_subscribe(int32_t self);
STREAMS("[method]input-stream.read") void stream_read(int32_t self, uint64_t length, stream_result *ret);
STREAMS("[resource-drop]input-stream") void input_stream_drop(int32_t self);
STREAMS("[method]output-stream.blocking-write-and-flush") void stream_write(int32_t self, const char *bytes, size_t length, stream_result *ret);
STREAMS("[resource-drop]output-stream") void output_stream_drop(int32_t self);
IMPORT("wasi:io/poll@0.2.12", "poll") void poll_list(const int32_t *pollables, size_t count, list *ret);
IMPORT("wasi:io/poll@0.2.12", "[resource-drop]pollable") void pollable_drop(int32_t self);
IMPORT("wasi:clocks/monotonic-clock@0.2.12", "subscribe-duration") int32_t subscribe_duration(uint64_t time);
IMPORT("wasi:clocks/monotonic-clock@0.2.12", "now") uint64_t clock_now(void);

uint64_t http_now_ms(void) { return clock_now() / 1000000; }

/* Waits for a pollable, which it drops; false after `wait` milliseconds. */
static bool ready(int32_t pollable, uint64_t wait)
{
    int32_t both[2] = {pollable, subscribe_duration(wait * 1000000)};
    list found;
    scratch();
    poll_list(both, 2, &found);
    bool first = found.count > 0 && ((uint32_t *)found.items)[0] == 0;
    pollable_drop(both[0]);
    pollable_drop(both[1]);
    return first;
}

void http_sleep_ms(uint64_t wait)
{
    int32_t timer = subscribe_duration(wait * 1000000);
    list found;
    scratch();
    poll_list(&timer, 1, &found);
    pollable_drop(timer);
}

static bool failed(os_error *e, os_kind kind, const char *message)
{
    e->kind = kind;
    snprintf(e->message, sizeof e->message, "%s", message);
    return false;
}

static bool failed_with(os_error *e, const code *c)
{
    static const struct {
        uint8_t tag, kind;
        const char *message;
    } known[] = {
        {0, OS_TIMEOUT, "finding the host's address took too long"},
        {1, OS_TRANSIENT, "the host's name is not known"},
        {2, OS_TRANSIENT, "the host's name is not known"},
        {3, OS_TRANSIENT, "the host cannot be reached"},
        {4, OS_DENIED, "the host's name leads to an address that was not granted"},
        {5, OS_TRANSIENT, "the host cannot be reached"},
        {6, OS_TRANSIENT, "the connection was refused"},
        {7, OS_TRANSIENT, "the connection broke"},
        {8, OS_TIMEOUT, "connecting took too long"},
        {9, OS_TIMEOUT, "the server was silent for longer than it may be"},
        {10, OS_TIMEOUT, "the server took too long to receive the request"},
        {11, OS_TRANSIENT, "too many connections are open"},
        {12, OS_TRANSIENT, "the server and this side cannot agree on TLS"},
        {13, OS_AUTH, "the server cannot prove its identity: its certificate is expired, names another host or leads to no trusted root"},
        {14, OS_TRANSIENT, "the server refused TLS"},
        {15, OS_DENIED, "the step was not granted this request"},
        {19, OS_CONFIG, "the address is malformed"},
        {20, OS_CONFIG, "the address is too long"},
        {25, OS_TRANSIENT, "the response ends before it is complete"},
        {26, OS_DATA, "the response is larger than it may be"},
        {27, OS_DATA, "the response is larger than it may be"},
        {28, OS_DATA, "the response is larger than it may be"},
        {33, OS_TIMEOUT, "the server was silent for longer than it may be"},
        {35, OS_TRANSIENT, "the server does not speak HTTP as it should"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].tag == c->tag)
            return failed(e, (os_kind)known[i].kind, known[i].message);
    e->kind = OS_INTERNAL;
    if (c->tag == 38 && c->internal.some)
        snprintf(e->message, sizeof e->message, "%.*s", (int)c->internal.value.length, c->internal.value.data);
    else
        snprintf(e->message, sizeof e->message, "HTTP failed with error-code %d", c->tag);
    return false;
}

static bool stream_failed(os_error *e, const stream_result *r)
{
    option_code c;
    if (r->closed)
        return failed(e, OS_TRANSIENT, "the connection was closed");
    scratch();
    http_error_code(r->error, &c);
    error_drop(r->error);
    return c.some ? failed_with(e, &c.code) : failed(e, OS_TRANSIENT, "the connection broke before the response was complete");
}

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};

/* The request, or 0 if something in it is malformed. */
static int32_t prepare(const exchange *x, os_error *e)
{
    /* One more for the length of the body. */
    pair *entries = need((occurrences(x->headers, '\n') + 2) * sizeof *entries);
    size_t count = 0;
    char length[24];
    for (const char *line = x->headers ? x->headers : ""; *line;) {
        size_t width = strcspn(line, "\n"), name = strcspn(line, ":\n"), start = name + 1;
        if (name < width) {
            while (start < width && line[start] == ' ')
                start++;
            entries[count++] = (pair){{(char *)line, name}, {(char *)line + start, width - start}};
        }
        line += width + (line[width] == '\n');
    }
    if (x->body) {
        snprintf(length, sizeof length, "%zu", x->body_length);
        entries[count++] = (pair){{"content-length", 14}, {length, strlen(length)}};
    }
    bool tls = strncmp(x->url, "https://", 8) == 0;
    if (!tls && strncmp(x->url, "http://", 7) != 0) {
        free(entries);
        return failed(e, OS_CONFIG, "the address begins neither with https:// nor with http://");
    }
    const char *host = x->url + (tls ? 8 : 7);
    size_t host_length = strcspn(host, "/?#");
    buffer path = {0};
    if (host[host_length] != '/')
        buffer_text(&path, "/");
    buffer_add(&path, host + host_length, strcspn(host + host_length, "#"));
    result_handle fields;
    int32_t request = 0, wrong = 1, tag = 0;
    while (tag < 9 && strcmp(methods[tag], x->method) != 0)
        tag++;
    scratch();
    fields_from_list(entries, count, &fields);
    if (!fields.failed) {
        request = new_request(fields.handle);
        wrong = set_method(request, tag, x->method, strlen(x->method)) | set_scheme(request, 1, tls, NULL, 0) |
                set_authority(request, 1, host, host_length) | set_path(request, 1, path.data, path.length);
    }
    buffer_free(&path);
    free(entries);
    if (wrong)
        return failed(e, OS_CONFIG, "the request's method, address or a header is malformed");
    return request;
}

static void send_body(const exchange *x, int32_t body)
{
    result_handle stream;
    result_code done;
    scratch();
    if (x->body && x->body_length) {
        body_write(body, &stream);
        /* A server may respond before it has read everything, so the response says what went wrong. */
        stream_result r = {0};
        for (size_t at = 0; at < x->body_length && !r.failed; at += 4096) {
            size_t left = x->body_length - at;
            stream_write(stream.handle, x->body + at, left < 4096 ? left : 4096, &r);
        }
        output_stream_drop(stream.handle);
    }
    body_finish(body, 0, 0, &done);
}

static bool receive(const exchange *x, int32_t response, os_response *to, os_error *e)
{
    result_handle body, stream;
    list entries;
    buffer headers = {0}, content = {0};
    to->status = response_status(response);
    int32_t fields = response_headers(response);
    scratch();
    fields_entries(fields, &entries);
    for (size_t i = 0; i < entries.count; i++) {
        pair *h = &((pair *)entries.items)[i];
        for (size_t k = 0; k < h->name.length; k++) {
            char lower = (char)tolower((unsigned char)h->name.data[k]);
            buffer_add(&headers, &lower, 1);
        }
        buffer_text(&headers, ": ");
        buffer_add(&headers, h->value.data, h->value.length);
        buffer_text(&headers, "\n");
    }
    fields_drop(fields);
    to->headers = headers.data;
    response_consume(response, &body);
    body_stream(body.handle, &stream);
    bool good = true;
    for (;;) {
        stream_result r;
        if (!ready(input_subscribe(stream.handle), x->timeout_ms)) {
            good = failed(e, OS_TIMEOUT, "the server was silent for longer than it may be");
            break;
        }
        scratch();
        stream_read(stream.handle, 1 << 20, &r);
        if (r.failed) {
            good = r.closed || stream_failed(e, &r);
            break;
        }
        if (content.length + r.bytes.length > x->max_bytes) {
            good = failed(e, OS_DATA, "the response is larger than it may be");
            break;
        }
        buffer_add(&content, r.bytes.data, r.bytes.length);
    }
    buffer_add(&content, "", 0);
    to->body = content.data;
    to->length = content.length;
    input_stream_drop(stream.handle);
    body_drop(body.handle);
    const char *announced = good && strcmp(x->method, "HEAD") != 0 && to->status != 304 ? os_header(to, "content-length") : NULL;
    if (announced && strtoull(announced, NULL, 10) > to->length)
        return failed(e, OS_TRANSIENT, "the response ends before it is complete");
    return good;
}

bool http_exchange(const exchange *x, os_response *to, os_error *e)
{
    int32_t request = prepare(x, e);
    if (!request)
        return false;
    result_handle body;
    result_code sent;
    scratch();
    request_body(request, &body);
    int32_t options = new_options();
    set_connect_timeout(options, 1, 10000000000ull);
    set_first_byte_timeout(options, 1, x->timeout_ms * 1000000ull);
    set_between_bytes_timeout(options, 1, (x->timeout_ms + 5000) * 1000000ull);
    handle(request, 1, options, &sent);
    if (sent.failed)
        return failed_with(e, &sent.code);
    send_body(x, body.handle);
    bool good = ready(future_subscribe(sent.handle), x->timeout_ms + 10000ull);
    future_result r = {0};
    if (!good)
        failed(e, OS_TIMEOUT, "the server was silent for longer than it may be");
    else {
        scratch();
        future_get(sent.handle, &r);
        if (!r.some || r.gone)
            good = failed(e, OS_INTERNAL, "the host gave no response");
        else if (r.value.failed)
            good = failed_with(e, &r.value.code);
        else {
            good = receive(x, r.value.handle, to, e);
            response_drop(r.value.handle);
        }
    }
    future_drop(sent.handle);
    return good;
}

#endif
