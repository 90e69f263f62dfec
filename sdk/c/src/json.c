/* A JSON parser that keeps numbers as they are written, and texts that grow. */

#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { NOTHING, BOOLEAN, NUMBER, STRING, LIST, OBJECT } type;

struct os_json {
    type type;
    bool yes;
    const char *name, *text;
    size_t length; /* of the text, which may hold zero bytes */
    os_json *first, *next;
    arena *owner; /* of a root */
};

/* Deeper values are refused, since the parser calls itself. */
#define DEPTH 256

typedef struct {
    const char *at, *end;
    arena *memory;
    const char *wrong;
} parser;

static void skip(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r'))
        p->at++;
}

static int hex4(parser *p)
{
    int value = 0;
    if (p->end - p->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = *p->at++;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static char *utf8(char *to, int c)
{
    if (c < 0x80)
        *to++ = (char)c;
    else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 63));
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    }
    return to;
}

/* The character of a \u escape; an unpaired surrogate becomes U+FFFD. */
static int escaped(parser *p)
{
    int c = hex4(p);
    if (c < 0xd800 || c > 0xdfff)
        return c;
    if (c < 0xdc00 && p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u') {
        const char *before = p->at;
        p->at += 2;
        int low = hex4(p);
        if (low >= 0xdc00 && low <= 0xdfff)
            return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        p->at = before;
    }
    return 0xfffd;
}

static bool string(parser *p, const char **result, size_t *length)
{
    const char *start = ++p->at;
    while (p->at < p->end && *p->at != '"')
        p->at += *p->at == '\\' ? 2 : 1;
    if (p->at >= p->end) {
        p->wrong = "a string does not end";
        return false;
    }
    const char *end = p->at;
    char *to = arena_take(p->memory, (size_t)(end - start) + 1);
    *result = to;
    for (p->at = start; p->at < end;) {
        unsigned char c = (unsigned char)*p->at++;
        if (c < 0x20) {
            p->wrong = "a string holds a control character";
            return false;
        }
        if (c != '\\') {
            *to++ = (char)c;
            continue;
        }
        static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
        char kind = *p->at++;
        const char *place = kind ? strchr(from, kind) : NULL;
        int code = 0;
        if (place)
            *to++ = into[place - from];
        else if (kind == 'u' && (code = escaped(p)) >= 0)
            to = utf8(to, code);
        else {
            p->wrong = "a string holds a wrong escape";
            return false;
        }
    }
    *to = 0;
    *length = (size_t)(to - *result);
    p->at = end + 1;
    return true;
}

static bool digits(parser *p)
{
    const char *start = p->at;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
        p->at++;
    return p->at > start;
}

static bool number(parser *p, os_json *v)
{
    const char *start = p->at;
    if (*p->at == '-')
        p->at++;
    bool zero = p->at < p->end && *p->at == '0';
    const char *whole = p->at;
    bool good = digits(p) && (!zero || p->at == whole + 1);
    if (good && p->at < p->end && *p->at == '.') {
        p->at++;
        good = digits(p);
    }
    if (good && p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-'))
            p->at++;
        good = digits(p);
    }
    if (!good) {
        p->wrong = "a number is malformed";
        return false;
    }
    v->type = NUMBER;
    v->length = (size_t)(p->at - start);
    char *copy = arena_take(p->memory, v->length + 1);
    memcpy(copy, start, v->length);
    copy[v->length] = 0;
    v->text = copy;
    return true;
}

static os_json *value(parser *p, int depth);

static bool items(parser *p, os_json *v, int depth)
{
    bool object = *p->at++ == '{';
    char close = object ? '}' : ']';
    os_json **link = &v->first;
    v->type = object ? OBJECT : LIST;
    skip(p);
    if (p->at < p->end && *p->at == close) {
        p->at++;
        return true;
    }
    for (;;) {
        const char *name = NULL;
        size_t length;
        skip(p);
        if (object) {
            if (p->at >= p->end || *p->at != '"') {
                p->wrong = "a member has no name";
                return false;
            }
            if (!string(p, &name, &length))
                return false;
            skip(p);
            if (p->at >= p->end || *p->at++ != ':') {
                p->wrong = "a colon is missing";
                return false;
            }
        }
        os_json *item = value(p, depth + 1);
        if (!item)
            return false;
        item->name = name;
        *link = item;
        link = &item->next;
        skip(p);
        char c = p->at < p->end ? *p->at++ : 0;
        if (c == close)
            return true;
        if (c != ',') {
            p->wrong = "a comma is missing";
            return false;
        }
    }
}

static bool word(parser *p, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(p->end - p->at) < length || memcmp(p->at, word, length) != 0) {
        p->wrong = "a value is missing";
        return false;
    }
    p->at += length;
    return true;
}

static os_json *value(parser *p, int depth)
{
    os_json *v = arena_take(p->memory, sizeof *v);
    memset(v, 0, sizeof *v);
    skip(p);
    char c = p->at < p->end ? *p->at : 0;
    bool good;
    if (depth > DEPTH) {
        p->wrong = "it is nested too deeply";
        good = false;
    } else if (c == '{' || c == '[')
        good = items(p, v, depth);
    else if (c == '"') {
        v->type = STRING;
        good = string(p, &v->text, &v->length);
    } else if (c == 't' || c == 'f') {
        v->type = BOOLEAN;
        v->yes = c == 't';
        good = word(p, c == 't' ? "true" : "false");
    } else if (c == '-' || (c >= '0' && c <= '9'))
        good = number(p, v);
    else
        good = word(p, "null");
    return good ? v : NULL;
}

os_json *os_parse(const char *source, size_t length, os_kind kind)
{
    arena *memory = need(sizeof *memory);
    parser p = {source, source + length, memory, NULL};
    os_json *root = value(&p, 0);
    skip(&p);
    if (root && p.at < p.end)
        p.wrong = "something follows the value";
    if (p.wrong) {
        os_fail(kind, "malformed JSON: %s at byte %zu", p.wrong, (size_t)((p.at < p.end ? p.at : p.end) - source) + 1);
        arena_free(memory);
        free(memory);
        return NULL;
    }
    root->owner = memory;
    return root;
}

void os_free(os_json *root)
{
    if (root && root->owner) {
        arena *memory = root->owner;
        arena_free(memory);
        free(memory);
    }
}

os_json *os_get(os_json *object, const char *name)
{
    if (!object || object->type != OBJECT)
        return NULL;
    for (os_json *m = object->first; m; m = m->next)
        if (strcmp(m->name, name) == 0)
            return m->type == NOTHING ? NULL : m;
    return NULL;
}

os_json *os_require(os_json *object, const char *name)
{
    os_json *found = os_get(object, name);
    if (!found)
        os_fail(OS_CONFIG, "the config has no `%s`, which this driver requires", name);
    return found;
}

os_json *os_first(os_json *v) { return v ? v->first : NULL; }

os_json *os_next(os_json *item) { return item ? item->next : NULL; }

const char *os_name(os_json *member) { return member && member->name ? member->name : ""; }

size_t os_count(os_json *v)
{
    size_t count = 0;
    for (os_json *item = os_first(v); item; item = item->next)
        count++;
    return count;
}

const char *os_str(os_json *v) { return os_str_or(v, ""); }

const char *os_str_or(os_json *v, const char *otherwise) { return v && v->text ? v->text : otherwise; }

int64_t os_int_or(os_json *v, int64_t otherwise)
{
    if (!v || v->type != NUMBER || v->length > 20)
        return otherwise;
    int64_t result = 0;
    bool negative = v->text[0] == '-';
    for (const char *c = v->text + negative; *c; c++)
        if (*c < '0' || *c > '9' || __builtin_mul_overflow(result, 10, &result) ||
            __builtin_sub_overflow(result, *c - '0', &result))
            return otherwise;
    /* Counted downwards, because there is one more negative number. */
    return negative ? result : result == INT64_MIN ? otherwise : -result;
}

double os_real_or(os_json *v, double otherwise) { return v && v->type == NUMBER ? strtod(v->text, NULL) : otherwise; }

bool os_bool_or(os_json *v, bool otherwise) { return v && v->type == BOOLEAN ? v->yes : otherwise; }

bool os_is_list(os_json *v) { return v && v->type == LIST; }

bool os_is_object(os_json *v) { return v && v->type == OBJECT; }

/* Growing texts */

void buffer_add(buffer *b, const void *data, size_t length)
{
    if (b->length + length + 1 > b->room) {
        b->room = 2 * b->room + length + 64;
        b->data = need_more(b->data, b->room);
    }
    if (length)
        memcpy(b->data + b->length, data, length);
    b->length += length;
    b->data[b->length] = 0;
}

void buffer_text(buffer *b, const char *s) { buffer_add(b, s, strlen(s)); }

void buffer_print(buffer *b, const char *format, va_list values)
{
    va_list again;
    va_copy(again, values);
    int length = vsnprintf(NULL, 0, format, values);
    char *to = need((size_t)length + 1);
    vsnprintf(to, (size_t)length + 1, format, again);
    va_end(again);
    buffer_add(b, to, (size_t)length);
    free(to);
}

void buffer_json(buffer *b, const char *data, size_t length)
{
    buffer_add(b, "\"", 1);
    for (size_t start = 0, i = 0; i <= length; i++) {
        unsigned char c = i < length ? (unsigned char)data[i] : '"';
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        if (i > start)
            buffer_add(b, data + start, i - start);
        start = i + 1;
        if (i == length)
            break;
        char code[8];
        snprintf(code, sizeof code, c < 0x20 ? "\\u%04x" : "\\%c", c);
        buffer_text(b, code);
    }
    buffer_add(b, "\"", 1);
}

size_t utf8_prefix(const char *data, size_t length)
{
    const unsigned char *s = (const unsigned char *)data;
    for (size_t i = 0; i < length;) {
        size_t more = s[i] < 0x80 ? 0 : s[i] < 0xc2 ? 4 : s[i] < 0xe0 ? 1 : s[i] < 0xf0 ? 2 : s[i] < 0xf5 ? 3 : 4;
        if (more == 4 || length - i <= more)
            return i;
        for (size_t k = 1; k <= more; k++)
            if ((s[i + k] & 0xc0) != 0x80)
                return i;
        /* Too long, a surrogate, or beyond U+10FFFF. */
        if ((s[i] == 0xe0 && s[i + 1] < 0xa0) || (s[i] == 0xed && s[i + 1] > 0x9f) || (s[i] == 0xf0 && s[i + 1] < 0x90) ||
            (s[i] == 0xf4 && s[i + 1] > 0x8f))
            return i;
        i += more + 1;
    }
    return length;
}

void make_utf8(char *data, size_t length)
{
    for (size_t i = 0; (i += utf8_prefix(data + i, length - i)) < length; i++)
        data[i] = '?';
}

void buffer_free(buffer *b)
{
    free(b->data);
    *b = (buffer){0};
}

void json_write(buffer *b, os_json *v)
{
    switch (v->type) {
    case NOTHING:
        buffer_text(b, "null");
        break;
    case BOOLEAN:
        buffer_text(b, v->yes ? "true" : "false");
        break;
    case NUMBER:
        buffer_add(b, v->text, v->length);
        break;
    case STRING:
        buffer_json(b, v->text, v->length);
        break;
    case LIST:
    case OBJECT:
        buffer_text(b, v->type == LIST ? "[" : "{");
        for (os_json *item = v->first; item; item = item->next) {
            if (item->name) {
                buffer_json(b, item->name, strlen(item->name));
                buffer_add(b, ":", 1);
            }
            json_write(b, item);
            if (item->next)
                buffer_add(b, ",", 1);
        }
        buffer_text(b, v->type == LIST ? "]" : "}");
    }
}
