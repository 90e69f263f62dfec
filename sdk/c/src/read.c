/* Readers, and columns as native arrays. */

#include "columns.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct os_reader {
    int32_t handle;
    bool json, any, ended;
    schema schema;
    arena schema_memory, batch_memory;
    os_batch batch;
    char *records;
};

size_t os_input_count(os_inputs *in) { return in->count; }

static bool has_input(os_inputs *in, size_t input)
{
    return input < in->count || os_fail(OS_CONFIG, "the step has %zu inputs, but its driver needs input %zu", in->count, input + 1);
}

const char *os_alias(os_inputs *in, size_t input)
{
    text name;
    if (!has_input(in, input))
        return "";
    scratch();
    input_alias(in->handles[input], &name);
    return step_text(name.data, name.length);
}

const char *os_sql_name(os_inputs *in, size_t input)
{
    text name;
    if (!has_input(in, input))
        return "";
    scratch();
    input_sql_name(in->handles[input], &name);
    return step_text(name.data, name.length);
}

uint64_t os_input_rows(os_inputs *in, size_t input) { return has_input(in, input) ? input_rows(in->handles[input]) : 0; }

/* Splits "id, name"; the caller frees the names. */
static text *split(const char *columns, size_t *count)
{
    text *names = need((occurrences(columns, ',') + 1) * sizeof *names);
    *count = 0;
    for (const char *at = columns ? columns : ""; *at;) {
        const char *end = strchr(at, ',');
        if (!end)
            end = at + strlen(at);
        const char *next = *end ? end + 1 : end;
        while (at < end && isspace((unsigned char)*at))
            at++;
        while (end > at && isspace((unsigned char)end[-1]))
            end--;
        if (end > at)
            names[(*count)++] = (text){step_text(at, (size_t)(end - at)), (size_t)(end - at)};
        at = next;
    }
    return names;
}

static os_reader *opened(const result *r, bool json)
{
    if (!passed(r))
        return NULL;
    os_reader *reader = need(sizeof *reader);
    reader->handle = r->handle;
    reader->json = json;
    if (!json) {
        results = &reader->schema_memory;
        reader_schema(reader->handle, &reader->schema);
        scratch();
    }
    return reader;
}

os_reader *os_read(os_inputs *in, size_t input, const char *columns)
{
    size_t count;
    result r;
    if (os_failed() || !has_input(in, input))
        return NULL;
    text *names = split(columns, &count);
    scratch();
    input_read(in->handles[input], names, count, 0, &r);
    free(names);
    return opened(&r, false);
}

os_reader *os_query(const char *select)
{
    result r;
    if (os_failed())
        return NULL;
    scratch();
    sql_query(select, strlen(select), 0, &r);
    return opened(&r, false);
}

os_reader *os_read_json(os_inputs *in, size_t input, const char *columns)
{
    size_t count;
    result r;
    if (os_failed() || !has_input(in, input))
        return NULL;
    text *names = split(columns, &count);
    scratch();
    input_read_json(in->handles[input], names, count, &r);
    free(names);
    return opened(&r, true);
}

os_reader *os_query_json(const char *select)
{
    result r;
    if (os_failed())
        return NULL;
    scratch();
    sql_query_json(select, strlen(select), &r);
    return opened(&r, true);
}

const char *os_next_records(os_reader *reader, size_t *length)
{
    result r;
    if (!reader || reader->ended || os_failed())
        return NULL;
    arena_reset(&reader->batch_memory);
    results = &reader->batch_memory;
    json_reader_next(reader->handle, &r);
    scratch();
    reader->ended = !passed(&r) || !r.records.some;
    if (reader->ended)
        return NULL;
    *length = r.records.value.length;
    char *copy = arena_take(&reader->batch_memory, *length + 1);
    memcpy(copy, r.records.value.data, *length);
    copy[*length] = 0;
    return copy;
}

static void clear(os_batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        free_column(b->columns[i]);
    b->count = 0;
    arena_reset(&b->memory);
}

void os_close(os_reader *reader)
{
    if (!reader)
        return;
    if (reader->json)
        json_reader_drop(reader->handle);
    else
        reader_drop(reader->handle);
    clear(&reader->batch);
    free(reader->batch.columns);
    arena_free(&reader->batch.memory);
    arena_free(&reader->schema_memory);
    arena_free(&reader->batch_memory);
    free(reader);
}

/* How many buffers a format has. */
static size_t buffers(const os_column *c)
{
    switch (c->format.data[0]) {
    case 'u':
    case 'z':
    case 'U':
    case 'Z':
        return 3;
    case 'n':
        return 0;
    case '+':
        return c->format.data[1] == 's' || c->format.data[1] == 'w' || c->format.data[1] == 'u' ? 1 : 2;
    }
    return 2;
}

/* The column that begins at field *at; `nodes` is NULL for a batch without rows. */
static os_column *column(os_batch *b, const schema *s, const node *nodes, size_t *at)
{
    static char zero[8];
    const field *f = &s->fields[*at];
    os_column *c = need(sizeof *c);
    c->name = f->name;
    c->format = f->format;
    c->metadata = f->metadata;
    c->metadata_count = f->metadata_count;
    c->nullable = f->nullable;
    c->batch = b;
    c->child_count = f->children;
    c->buffer_count = buffers(c);
    for (size_t i = 0; i < c->buffer_count; i++) {
        if (nodes && i < nodes[*at].buffer_count)
            c->buffers[i] = nodes[*at].buffers[i];
        else if (i == 1 && (c->buffer_count == 3 || c->format.data[0] == '+'))
            c->buffers[i] = (text){zero, 4};
    }
    c->length = nodes ? nodes[*at].length : 0;
    (*at)++;
    c->children = need(c->child_count * sizeof *c->children);
    for (size_t i = 0; i < c->child_count; i++)
        c->children[i] = column(b, s, nodes, at);
    return c;
}

os_batch *os_next_batch(os_reader *reader)
{
    result r;
    if (!reader || reader->json || reader->ended || os_failed())
        return NULL;
    os_batch *b = &reader->batch;
    clear(b);
    arena_reset(&reader->batch_memory);
    results = &reader->batch_memory;
    reader_next(reader->handle, &r);
    scratch();
    if (!passed(&r))
        return NULL;
    reader->ended = !r.batch.some;
    if (reader->ended && reader->any)
        return NULL;
    reader->any = true;
    b->rows = r.batch.some ? r.batch.value.rows : 0;
    for (size_t at = 0; at < reader->schema.count;) {
        if (b->count == b->room) {
            b->room = 2 * b->room + 16;
            b->columns = need_more(b->columns, b->room * sizeof *b->columns);
        }
        os_column *c = column(b, &reader->schema, r.batch.some ? r.batch.value.nodes : NULL, &at);
        b->columns[b->count++] = c;
    }
    return b;
}

size_t os_rows(os_batch *b) { return b ? b->rows : 0; }

os_column *os_column_of(os_batch *b, const char *name)
{
    size_t length = strlen(name);
    if (!b || os_failed())
        return NULL;
    buffer known = {0};
    for (size_t i = 0; i < b->count; i++) {
        text n = b->columns[i]->name;
        if (n.length == length && memcmp(n.data, name, length) == 0) {
            buffer_free(&known);
            return b->columns[i];
        }
        buffer_text(&known, i ? ", `" : "`");
        buffer_add(&known, n.data, n.length);
        buffer_add(&known, "`", 1);
    }
    os_fail(OS_NOT_FOUND, "there is no column `%s`; there are %s", name, known.data ? known.data : "none");
    buffer_free(&known);
    return NULL;
}

bool os_valid(os_column *c, size_t row)
{
    if (!c)
        return false;
    if (c->built)
        return !c->nulls || (c->valid.data[row >> 3] >> (row & 7) & 1);
    return c->buffers[0].length == 0 || (c->buffers[0].data[row >> 3] >> (row & 7) & 1);
}

bool is_extension(const os_column *c, const char *name)
{
    for (size_t i = 0; i < c->metadata_count; i++) {
        const pair *p = &c->metadata[i];
        if (p->name.length == 20 && memcmp(p->name.data, "ARROW:extension:name", 20) == 0)
            return p->value.length == strlen(name) && memcmp(p->value.data, name, p->value.length) == 0;
    }
    return false;
}

bool format_is(const os_column *c, const char *format)
{
    return c->format.length == strlen(format) && memcmp(c->format.data, format, c->format.length) == 0;
}

static void *wrong(os_column *c, const char *wanted)
{
    os_fail(OS_DATA, "column `%.*s` has Arrow format `%.*s`, which cannot be read as %s", (int)c->name.length, c->name.data,
            (int)c->format.length, c->format.data, wanted);
    return NULL;
}

static void *does_not_fit(os_column *c, size_t row, const char *wanted)
{
    os_fail(OS_DATA, "column `%.*s`, row %zu of the batch: the value does not fit into %s", (int)c->name.length, c->name.data,
            row, wanted);
    return NULL;
}

static bool readable(os_column *c) { return c && !c->built && !os_failed(); }

/* Values that Arrow stores as they are, aligned. */
static void *aligned(os_column *c, size_t width)
{
    const text *b = &c->buffers[1];
    if (((uintptr_t)b->data & (width > 8 ? 15 : width - 1)) == 0 && b->length)
        return b->data;
    if (!c->converted) {
        c->converted = arena_take(&c->batch->memory, (size_t)c->length * width + 1);
        if (c->length)
            memcpy(c->converted, b->data, (size_t)c->length * width);
    }
    return c->converted;
}

#define WIDEN(from)                                                                                                    \
    for (size_t i = 0; i < c->length; i++) {                                                                           \
        from v;                                                                                                        \
        memcpy(&v, c->buffers[1].data + i * sizeof v, sizeof v);                                                       \
        to[i] = v;                                                                                                     \
    }                                                                                                                  \
    break

const int64_t *os_i64(os_column *c)
{
    if (!readable(c))
        return NULL;
    if (format_is(c, "l"))
        return aligned(c, 8);
    if (c->format.length != 1 || !strchr("csiCSIL", c->format.data[0]) || is_extension(c, "arrow.bool8"))
        return wrong(c, "int64");
    int64_t *to = arena_take(&c->batch->memory, (size_t)c->length * 8 + 1);
    switch (c->format.data[0]) {
    case 'c': WIDEN(int8_t);
    case 's': WIDEN(int16_t);
    case 'i': WIDEN(int32_t);
    case 'C': WIDEN(uint8_t);
    case 'S': WIDEN(uint16_t);
    case 'I': WIDEN(uint32_t);
    default:
        for (size_t i = 0; i < c->length; i++) {
            memcpy(&to[i], c->buffers[1].data + i * 8, 8);
            if (to[i] < 0 && os_valid(c, i))
                return does_not_fit(c, i, "int64");
        }
    }
    return to;
}

const double *os_f64(os_column *c)
{
    if (!readable(c))
        return NULL;
    if (format_is(c, "g"))
        return aligned(c, 8);
    double *to = arena_take(&c->batch->memory, (size_t)c->length * 8 + 1);
    if (format_is(c, "f")) {
        do {
            WIDEN(float);
        } while (0);
        return to;
    }
    const int64_t *from = os_i64(c);
    if (!from)
        return os_failed() ? NULL : wrong(c, "double");
    for (size_t i = 0; i < c->length; i++) {
        to[i] = (double)from[i];
        if (os_valid(c, i) && (to[i] >= 9223372036854775808.0 || (int64_t)to[i] != from[i]))
            return does_not_fit(c, i, "double");
    }
    return to;
}

const uint8_t *os_bools(os_column *c)
{
    if (!readable(c))
        return NULL;
    if (format_is(c, "c") && is_extension(c, "arrow.bool8"))
        return aligned(c, 1);
    if (!format_is(c, "b"))
        return wrong(c, "bool");
    uint8_t *to = arena_take(&c->batch->memory, c->length + 1);
    for (size_t i = 0; i < c->length; i++)
        to[i] = c->buffers[1].data[i >> 3] >> (i & 7) & 1;
    return to;
}

const int32_t *os_days(os_column *c)
{
    if (!readable(c))
        return NULL;
    return format_is(c, "tdD") ? aligned(c, 4) : wrong(c, "a date");
}

const int64_t *os_micros(os_column *c)
{
    if (!readable(c))
        return NULL;
    const char *f = c->format.data;
    if (format_is(c, "ttu") || (c->format.length > 3 && memcmp(f, "tsu:", 4) == 0))
        return aligned(c, 8);
    bool stamp = c->format.length > 3 && f[0] == 't' && f[1] == 's' && strchr("smn", f[2]);
    if (!stamp && !format_is(c, "ttn"))
        return wrong(c, "microseconds");
    int64_t *to = arena_take(&c->batch->memory, (size_t)c->length * 8 + 1);
    for (size_t i = 0; i < c->length; i++) {
        memcpy(&to[i], c->buffers[1].data + i * 8, 8);
        bool fits = f[2] == 'n' ? to[i] % 1000 == 0 : !__builtin_mul_overflow(to[i], f[2] == 's' ? 1000000 : 1000, &to[i]);
        if (f[2] == 'n')
            to[i] /= 1000;
        if (!fits && os_valid(c, i))
            return does_not_fit(c, i, "microseconds");
    }
    return to;
}

const __int128 *os_decimals(os_column *c, int *scale)
{
    int precision;
    char format[32];
    if (!readable(c))
        return NULL;
    snprintf(format, sizeof format, "%.*s", (int)(c->format.length < 31 ? c->format.length : 31), c->format.data);
    if (sscanf(format, "d:%d,%d", &precision, scale) == 2)
        return aligned(c, 16);
    *scale = 0;
    return format_is(c, "w:16") && is_extension(c, "arrow.opaque") ? aligned(c, 16) : wrong(c, "a decimal");
}

const uint8_t *os_uuids(os_column *c)
{
    if (!readable(c))
        return NULL;
    return format_is(c, "w:16") && is_extension(c, "arrow.uuid") ? aligned(c, 1) : wrong(c, "a UUID");
}

/* Offset `index` of 32 or 64 bits. */
static size_t offset(os_column *c, size_t index, bool wide)
{
    uint64_t value = 0;
    memcpy(&value, c->buffers[1].data + index * (wide ? 8 : 4), wide ? 8 : 4);
    return (size_t)value;
}

os_slice os_slice_at(os_column *c, size_t row)
{
    if (!readable(c))
        return (os_slice){"", 0};
    char f = c->format.length == 1 ? c->format.data[0] : 0;
    if (!f || !strchr("uzUZ", f)) {
        wrong(c, "text");
        return (os_slice){"", 0};
    }
    size_t start = offset(c, row, f < 'a'), end = offset(c, row + 1, f < 'a');
    return (os_slice){c->buffers[2].data + start, end - start};
}

bool os_list_at(os_column *c, size_t row, size_t *start, size_t *end)
{
    if (!readable(c))
        return false;
    if (c->format.length > 3 && memcmp(c->format.data, "+w:", 3) == 0) {
        size_t length = (size_t)strtol(c->format.data + 3, NULL, 10);
        *start = row * length;
        *end = *start + length;
        return os_valid(c, row);
    }
    bool wide = format_is(c, "+L");
    if (!wide && !format_is(c, "+l") && !format_is(c, "+m"))
        return wrong(c, "a list");
    *start = offset(c, row, wide);
    *end = offset(c, row + 1, wide);
    return os_valid(c, row);
}

os_column *os_child(os_column *c, size_t index) { return c && index < c->child_count ? c->children[index] : NULL; }

os_column *os_member(os_column *c, const char *name)
{
    if (!c || os_failed())
        return NULL;
    for (size_t i = 0; i < c->child_count; i++) {
        text n = c->children[i]->name;
        if (n.length == strlen(name) && memcmp(n.data, name, n.length) == 0)
            return c->children[i];
    }
    os_fail(OS_NOT_FOUND, "column `%.*s` has no member `%s`", (int)c->name.length, c->name.data, name);
    return NULL;
}
