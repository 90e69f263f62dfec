/* HTTP: statuses as errors, retries, pages, OAuth 2. */

#include "host.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const char *header_in(const char *headers, const char *name, size_t *length)
{
    size_t width = strlen(name);
    for (const char *line = headers ? headers : ""; *line;) {
        const char *end = strchr(line, '\n');
        if (!end)
            end = line + strlen(line);
        if ((size_t)(end - line) > width && strncasecmp(line, name, width) == 0 && line[width] == ':') {
            const char *value = line + width + 1;
            while (value < end && *value == ' ')
                value++;
            *length = (size_t)(end - value);
            return value;
        }
        line = *end ? end + 1 : end;
    }
    return NULL;
}

const char *os_header(const os_response *response, const char *name)
{
    static char *last;
    size_t length;
    const char *value = response ? header_in(response->headers, name, &length) : NULL;
    free(last);
    last = NULL;
    if (!value)
        return NULL;
    last = need(length + 1);
    memcpy(last, value, length);
    return last;
}

/* Seconds since 1970 of an HTTP date such as `Tue, 14 Nov 2023 22:13:25 GMT`; -1 for anything else. */
static int64_t http_date(const char *text)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int day, year, hour, minute, second;
    char month[4] = "";
    if (!text || sscanf(text, "%*3c, %d %3s %d %d:%d:%d", &day, month, &year, &hour, &minute, &second) != 6)
        return -1;
    const char *place = strlen(month) == 3 ? strstr(months, month) : NULL;
    if (!place || (place - months) % 3)
        return -1;
    int m = (int)(place - months) / 3 + 1, y = m <= 2 ? year - 1 : year;
    int64_t days = 365 * (int64_t)y + y / 4 - y / 100 + y / 400 + (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + day - 1 - 719468;
    return days * 86400 + hour * 3600 + minute * 60 + second;
}

/* A time to wait as a header has it, in milliseconds: seconds, or a date relative to the response's own; -1 for neither. */
static int64_t written_wait(const os_response *r, const char *value)
{
    char *end;
    double seconds = strtod(value, &end);
    if (end == value) {
        int64_t until = http_date(value), now = http_date(os_header(r, "date"));
        if (until < 0 || now < 0)
            return -1;
        seconds = until < now ? 0 : (double)(until - now);
    }
    /* NaN is no time either. */
    return seconds >= 0 && seconds <= 4e6 ? (int64_t)(seconds * 1000) : -1;
}

/* Headers that say when a request limit is reset, and whether they always count in seconds from now on. */
static const struct {
    const char *name;
    bool relative;
} resets[] = {{"x-ratelimit-reset-after", true}, {"ratelimit-reset", false}, {"x-ratelimit-reset", false},
              {"x-rate-limit-reset", false}, {"x-ratelimit-reset-requests", true}};
/* From this number on, seconds are a point in time since 1970; from a hundred times that on, they are milliseconds. */
#define EPOCH 1e9

/* How long the server asks to wait, in milliseconds: `Retry-After`, or else until its request limit is reset, if the response
 * is about that limit; -1 if it does not say. */
static int64_t asked_wait(const os_response *r)
{
    const char *value = os_header(r, "retry-after");
    int64_t asked = value ? written_wait(r, value) : -1;
    if (asked >= 0)
        return asked;
    const char *left = os_header(r, "x-ratelimit-remaining");
    if (!left)
        left = os_header(r, "ratelimit-remaining");
    if (!left)
        left = os_header(r, "x-rate-limit-remaining");
    if (r->status != 429 && r->status != 503 && !(r->status == 403 && left && strcmp(left, "0") == 0))
        return -1;
    for (size_t i = 0; i < sizeof resets / sizeof *resets; i++) {
        if (!(value = os_header(r, resets[i].name)))
            continue;
        char *end;
        double number = strtod(value, &end);
        if (end == value || resets[i].relative || number < EPOCH)
            return written_wait(r, value);
        int64_t now = http_date(os_header(r, "date"));
        if (now < 0)
            return -1;
        double wait = (number >= EPOCH * 100 ? number / 1000 : number) - (double)now;
        return wait < 0 ? 0 : wait <= 4e6 ? (int64_t)(wait * 1000) : -1;
    }
    return -1;
}

/* An address without its query, which may hold secrets. */
static int shown(const char *url) { return (int)strcspn(url, "?#"); }

static void status_error(os_error *e, const char *method, const char *url, const os_response *r)
{
    int s = r->status;
    int64_t wait = asked_wait(r);
    /* A server that says when the request limit is reset refuses the rate, not the request. */
    e->kind = s == 401 ? OS_AUTH : s == 403 ? wait >= 0 ? OS_RATE_LIMITED : OS_DENIED : s == 404 ? OS_NOT_FOUND : s == 429 ? OS_RATE_LIMITED
              : s == 202 || s == 408 || s == 425 || s >= 500 ? OS_TRANSIENT : OS_CONFIG;
    snprintf(e->code, sizeof e->code, "HTTP %d", s);
    e->has_retry = wait >= 0;
    e->retry_after_ms = (uint32_t)(wait < 0 ? 0 : wait);
    int length = snprintf(e->message, sizeof e->message, "`%s %.*s` answered %d", method, shown(url), url, s);
    if (wait >= 0 && length < (int)sizeof e->message)
        length += snprintf(e->message + length, sizeof e->message - (size_t)length, " and asks to wait %lld s",
                           (long long)(wait + 999) / 1000);
    if (r->length && length < (int)sizeof e->message - 300) {
        length += snprintf(e->message + length, 4, ": ");
        bool space = false;
        for (size_t i = 0, count = 0; i < r->length && count < 200; i++) {
            unsigned char c = (unsigned char)r->body[i];
            if (c <= ' ') {
                space = true;
                continue;
            }
            if (space && count)
                e->message[length++] = ' ';
            space = false;
            e->message[length++] = (char)c;
            count++;
        }
        e->message[length] = 0;
    }
}

static bool passes(int status, const os_error *e)
{
    static const int statuses[] = {408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529};
    if (!status)
        return e->kind == OS_TRANSIENT || e->kind == OS_RATE_LIMITED || e->kind == OS_TIMEOUT;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i] == status)
            return true;
    return e->has_retry;
}

/* The wait before the next attempt; -1 for none. */
static int64_t next_wait(const os_http *o, int attempt, int status, const os_error *e)
{
    int retries = o->retries == 0 ? 3 : o->retries;
    int64_t base = o->base_ms ? o->base_ms : 500, most = o->max_wait_ms ? o->max_wait_ms : 60000;
    if (!passes(status, e) || attempt > retries)
        return -1;
    if (e->has_retry && e->retry_after_ms)
        return e->retry_after_ms <= most ? (int64_t)e->retry_after_ms : -1;
    int64_t wait = base << (attempt < 16 ? attempt - 1 : 15);
    if (wait > most)
        wait = most;
    /* The clock is random enough to keep many clients apart. */
    return wait / 2 + (int64_t)(http_now_ms() % (uint64_t)(wait / 2 + 1));
}

static char *all_headers(const os_http *o)
{
    buffer b = {0};
    buffer_text(&b, o->headers ? o->headers : "");
    if (b.length && b.data[b.length - 1] != '\n')
        buffer_text(&b, "\n");
    if (o->bearer && *o->bearer) {
        buffer_text(&b, "authorization: Bearer ");
        buffer_text(&b, o->bearer);
        buffer_text(&b, "\n");
    }
    return b.data;
}

static void pace(double per_second)
{
    static double next;
    if (per_second <= 0)
        return;
    double now = (double)http_now_ms();
    if (next > now) {
        http_sleep_ms((uint64_t)(next - now));
        now = next;
    }
    next = now + 1000 / per_second;
}

os_response *os_request(const os_http *options, const char *method, const char *url)
{
    static const os_http defaults;
    const os_http *o = options ? options : &defaults;
    if (os_failed())
        return NULL;
    bool repeatable = o->repeatable || strstr("GET HEAD OPTIONS PUT DELETE", method);
    char *headers = all_headers(o);
    exchange x = {method, url, headers, o->body, o->body ? o->body_length : 0, o->max_bytes ? o->max_bytes : 64u << 20,
                  o->timeout_ms ? o->timeout_ms : 30000};
    os_response *r = NULL;
    for (int attempt = 1;; attempt++) {
        os_error e = {0};
        os_free_response(r);
        r = need(sizeof *r);
        pace(o->per_second);
        if (http_exchange(&x, r, &e)) {
            if (r->status >= 200 && r->status < 300 && r->status != 202)
                break;
            status_error(&e, method, url, r);
        } else {
            os_error cause = e;
            r->status = 0;
            snprintf(e.message, sizeof e.message, "`%s %.*s` failed: %.1500s", method, shown(url), url, cause.message);
        }
        int64_t wait = repeatable ? next_wait(o, attempt, r->status, &e) : -1;
        if (wait < 0) {
            os_fail_code(e.kind, e.code, e.has_retry ? (int64_t)e.retry_after_ms : -1, "%s", e.message);
            os_free_response(r);
            r = NULL;
            break;
        }
        os_log(OS_INFO, "retrying a request in %lld ms, because %s", (long long)wait, e.message);
        http_sleep_ms((uint64_t)wait);
    }
    free(headers);
    return r;
}

void os_free_response(os_response *r)
{
    if (r) {
        free(r->headers);
        free(r->body);
        free(r);
    }
}

os_json *os_get_json(const os_http *options, const char *format, ...)
{
    buffer url = {0};
    va_list values;
    va_start(values, format);
    buffer_print(&url, format, values);
    va_end(values);
    os_response *r = os_request(options, "GET", url.data);
    os_json *answer = r ? os_parse(r->body, r->length, OS_DATA) : NULL;
    os_free_response(r);
    buffer_free(&url);
    return answer;
}

/* The place of the first letter outside of quotes, or the end. */
static const char *unquoted(const char *at, char letter)
{
    for (bool quoted = false; *at && (quoted || *at != letter); at++) {
        if (quoted && *at == '\\' && at[1])
            at++;
        else if (*at == '"')
            quoted = !quoted;
    }
    return at;
}

static bool has_word(const char *start, const char *end, const char *word)
{
    size_t length = strlen(word);
    while (start < end) {
        while (start < end && strchr(" \"'", *start))
            start++;
        const char *stop = start;
        while (stop < end && !strchr(" \"'", *stop))
            stop++;
        if ((size_t)(stop - start) == length && strncasecmp(start, word, length) == 0)
            return true;
        start = stop;
    }
    return false;
}

const char *os_link(const os_response *response, const char *relation)
{
    const char *rest = os_header(response, "link");
    while (rest && (rest = strchr(rest, '<'))) {
        const char *target_end = strchr(rest, '>');
        if (!target_end)
            return NULL;
        const char *end = unquoted(target_end + 1, ',');
        bool found = false, seen = false, anchored = false;
        for (const char *p = target_end + 1; p < end;) {
            const char *stop = unquoted(p, ';');
            if (stop > end)
                stop = end;
            while (p < stop && (*p == ' ' || *p == ';'))
                p++;
            const char *name_end = p;
            while (name_end < stop && (isalpha((unsigned char)*name_end) || *name_end == '-'))
                name_end++;
            const char *equals = memchr(p, '=', (size_t)(stop - p));
            anchored |= name_end - p == 6 && strncasecmp(p, "anchor", 6) == 0;
            if (name_end - p == 3 && strncasecmp(p, "rel", 3) == 0 && equals && !seen) {
                seen = true; /* The first one counts (RFC 8288, 3.3). */
                found = has_word(equals + 1, stop, relation);
            }
            p = stop < end ? stop + 1 : end;
        }
        if (found && !anchored)
            return step_text(rest + 1, (size_t)(target_end - rest - 1));
        rest = end;
    }
    return NULL;
}

const char *os_encode(const char *s)
{
    buffer b = {0};
    for (; *s; s++) {
        char code[4];
        if (isalnum((unsigned char)*s) || strchr("-_.~", *s))
            buffer_add(&b, s, 1);
        else {
            snprintf(code, sizeof code, "%%%02X", (unsigned char)*s);
            buffer_text(&b, code);
        }
    }
    const char *encoded = step_text(b.data ? b.data : "", b.length);
    buffer_free(&b);
    return encoded;
}

static void base64(buffer *b, const char *data, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        uint32_t n = 0;
        for (size_t k = 0; k < 3; k++)
            n = n << 8 | (i + k < length ? (unsigned char)data[i + k] : 0);
        char four[4] = {digits[n >> 18], digits[n >> 12 & 63], digits[n >> 6 & 63], digits[n & 63]};
        if (i + 2 >= length)
            four[3] = '=';
        if (i + 1 >= length)
            four[2] = '=';
        buffer_add(b, four, 4);
    }
}

const char *os_oauth_token(const char *url, const char *id, const char *secret, const char *scope)
{
    buffer form = {0}, login = {0}, headers = {0};
    buffer_text(&form, "grant_type=client_credentials");
    if (scope && *scope) {
        buffer_text(&form, "&scope=");
        buffer_text(&form, os_encode(scope));
    }
    buffer_text(&login, os_encode(id));
    buffer_text(&login, ":");
    buffer_text(&login, os_encode(secret));
    buffer_text(&headers, "content-type: application/x-www-form-urlencoded\nauthorization: Basic ");
    base64(&headers, login.data, login.length);
    os_http options = {.headers = headers.data, .body = form.data, .body_length = form.length, .repeatable = true};
    os_response *r = os_request(&options, "POST", url);
    os_json *answer = r ? os_parse(r->body, r->length, OS_DATA) : NULL;
    const char *token = os_str(os_get(answer, "access_token"));
    if (answer && !*token)
        os_fail(OS_AUTH, "the login at `%.*s` returned no access_token", shown(url), url);
    token = *token ? step_text(token, strlen(token)) : NULL;
    os_free(answer);
    os_free_response(r);
    buffer_free(&form);
    buffer_free(&login);
    buffer_free(&headers);
    return token;
}
