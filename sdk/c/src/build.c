/* Columns that a driver builds, and batches that go to the output. */

#include "columns.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* DuckDB's names of types, Arrow's formats, and the width of a value. */
static const struct {
    const char *name, *format;
    size_t width;
} types[] = {
    {"BOOLEAN", "c", 1},      {"TINYINT", "c", 1},        {"SMALLINT", "s", 2},  {"INTEGER", "i", 4},
    {"BIGINT", "l", 8},       {"UTINYINT", "C", 1},       {"USMALLINT", "S", 2}, {"UINTEGER", "I", 4},
    {"UBIGINT", "L", 8},      {"FLOAT", "f", 4},          {"DOUBLE", "g", 8},    {"VARCHAR", "u", 0},
    {"JSON", "u", 0},         {"BLOB", "z", 0},           {"DATE", "tdD", 4},    {"TIME", "ttu", 8},
    {"TIMESTAMP", "tsu:", 8}, {"TIMESTAMPTZ", "tsu:UTC", 8}, {"UUID", "w:16", 16},
};

static text fixed_text(const char *s) { return (text){(char *)s, strlen(s)}; }

static pair extension[] = {
    {{"ARROW:extension:name", 20}, {"arrow.bool8", 11}},
    {{"ARROW:extension:name", 20}, {"arrow.json", 10}},
    {{"ARROW:extension:name", 20}, {"arrow.uuid", 10}},
};

static void extend(os_column *c, int which)
{
    c->metadata = &extension[which];
    c->metadata_count = 1;
}

static os_column *typed(const char **at);

static void skip_space(const char **at)
{
    while (isspace((unsigned char)**at))
        (*at)++;
}

static os_column *new_column(text format)
{
    os_column *c = need(sizeof *c);
    c->format = format;
    c->nullable = 1;
    c->built = true;
    return c;
}

static void add_child(os_column *c, os_column *child)
{
    c->children = need_more(c->children, (c->child_count + 1) * sizeof *c->children);
    c->children[c->child_count++] = child;
}

/* STRUCT(a BIGINT, b VARCHAR), after the parenthesis. */
static os_column *structure(const char **at)
{
    os_column *c = new_column(fixed_text("+s"));
    for (;;) {
        skip_space(at);
        const char *start = *at;
        while (**at && !isspace((unsigned char)**at) && **at != ')')
            (*at)++;
        size_t length = (size_t)(*at - start);
        os_column *child = length ? typed(at) : NULL;
        if (!child) {
            free_column(c);
            return NULL;
        }
        child->name = (text){step_text(start, length), length};
        add_child(c, child);
        skip_space(at);
        if (**at == ')') {
            (*at)++;
            return c;
        }
        if (**at != ',') {
            free_column(c);
            return NULL;
        }
        (*at)++;
    }
}

static os_column *simple(const char **at)
{
    int precision, scale, length = 0;
    if (sscanf(*at, "DECIMAL(%d,%d)%n", &precision, &scale, &length) == 2 && length && precision >= 1 && precision <= 38 &&
        scale >= 0 && scale <= precision) {
        char format[32];
        snprintf(format, sizeof format, "d:%d,%d", precision, scale);
        *at += length;
        return new_column((text){step_text(format, strlen(format)), strlen(format)});
    }
    if (strncmp(*at, "STRUCT(", 7) == 0) {
        *at += 7;
        return structure(at);
    }
    const char *start = *at;
    while (isalnum((unsigned char)**at))
        (*at)++;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strlen(types[i].name) != (size_t)(*at - start) || strncasecmp(types[i].name, start, (size_t)(*at - start)) != 0)
            continue;
        os_column *c = new_column(fixed_text(types[i].format));
        if (i == 0)
            extend(c, 0);
        if (strcmp(types[i].name, "JSON") == 0)
            extend(c, 1);
        if (strcmp(types[i].name, "UUID") == 0)
            extend(c, 2);
        return c;
    }
    return NULL;
}

static os_column *typed(const char **at)
{
    skip_space(at);
    os_column *c = simple(at);
    while (c && (*at)[0] == '[' && (*at)[1] == ']') {
        *at += 2;
        os_column *list = new_column(fixed_text("+l"));
        c->name = fixed_text("l");
        add_child(list, c);
        c = list;
    }
    return c;
}

void free_column(os_column *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->child_count; i++)
        free_column(c->children[i]);
    free_column(c->replaced);
    free(c->children);
    buffer_free(&c->valid);
    buffer_free(&c->values);
    buffer_free(&c->bytes);
    free(c);
}

os_batch *os_new_batch(size_t rows)
{
    os_batch *b = need(sizeof *b);
    b->rows = rows;
    b->is_new = true;
    return b;
}

void os_drop_batch(os_batch *b)
{
    if (!b || !b->is_new)
        return;
    for (size_t i = 0; i < b->count; i++)
        free_column(b->columns[i]);
    free(b->columns);
    arena_free(&b->memory);
    free(b);
}

static size_t place_of(const os_batch *b, const char *name)
{
    size_t i = 0, length = strlen(name);
    while (i < b->count && !(b->columns[i]->name.length == length && memcmp(b->columns[i]->name.data, name, length) == 0))
        i++;
    return i;
}

void os_remove(os_batch *b, const char *name)
{
    size_t i = b ? place_of(b, name) : 0;
    if (!b || i == b->count)
        return;
    free_column(b->columns[i]);
    memmove(&b->columns[i], &b->columns[i + 1], (b->count - i - 1) * sizeof *b->columns);
    b->count--;
}

os_column *os_add(os_batch *b, const char *name, const char *type)
{
    if (!b || os_failed())
        return NULL;
    const char *at = type;
    os_column *c = typed(&at);
    if (c)
        skip_space(&at);
    if (!c || *at) {
        free_column(c);
        os_fail(OS_INTERNAL, "column `%s`: `%s` is not a type that the SDK builds", name, type);
        return NULL;
    }
    c->name = (text){step_text(name, strlen(name)), strlen(name)};
    size_t i = place_of(b, name);
    if (i < b->count) {
        /* The driver may still read the old column, so it is freed with the new one. */
        c->replaced = b->columns[i];
        b->columns[i] = c;
        return c;
    }
    if (b->count == b->room) {
        b->room = 2 * b->room + 16;
        b->columns = need_more(b->columns, b->room * sizeof *b->columns);
    }
    b->columns[b->count++] = c;
    return c;
}

static bool buildable(os_column *c) { return c && c->built && !os_failed(); }

static void push_valid(os_column *c, bool valid)
{
    if ((c->length & 7) == 0)
        buffer_add(&c->valid, "", 1);
    if (valid)
        c->valid.data[c->length >> 3] |= (char)(1 << (c->length & 7));
    else
        c->nulls = true;
    c->length++;
}

/* The width of a fixed value; 0 for texts, lists and structs. */
static size_t width_of(const os_column *c)
{
    if (c->format.data[0] == 'd')
        return 16;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (format_is(c, types[i].format))
            return types[i].width;
    return 0;
}

/* The end of a text or a list. Lists end where their child does. */
static void push_end(os_column *c, size_t end)
{
    int32_t offset = (int32_t)end;
    if (c->values.length == 0)
        buffer_add(&c->values, "\0\0\0", 4);
    if (end > INT32_MAX)
        os_fail(OS_DATA, "column `%.*s` is larger than 2 GiB in one batch", (int)c->name.length, c->name.data);
    buffer_add(&c->values, &offset, 4);
}

void os_put_null(os_column *c)
{
    static const char zero[16];
    if (!buildable(c))
        return;
    size_t width = width_of(c);
    if (width)
        buffer_add(&c->values, zero, width);
    else if (format_is(c, "+l"))
        push_end(c, c->children[0]->length);
    else if (format_is(c, "+s"))
        for (size_t i = 0; i < c->child_count; i++)
            os_put_null(c->children[i]);
    else
        push_end(c, c->bytes.length);
    push_valid(c, false);
}

static bool takes(os_column *c, bool right, const char *what)
{
    if (!right)
        os_fail(OS_INTERNAL, "column `%.*s` of Arrow format `%.*s` does not take %s", (int)c->name.length, c->name.data,
                (int)c->format.length, c->format.data, what);
    return right;
}

void os_put_i64(os_column *c, int64_t value)
{
    if (!buildable(c))
        return;
    char f = c->format.data[0];
    size_t width = width_of(c);
    if (!takes(c, (strchr("csilCSIL", f) && c->format.length == 1 && !c->metadata_count) || f == 't', "an integer"))
        return;
    bool is_unsigned = f >= 'A' && f <= 'Z';
    int bits = (int)width * 8;
    bool fits = is_unsigned ? value >= 0 && (bits == 64 || value >> bits == 0)
                            : bits == 64 || (value >= -((int64_t)1 << (bits - 1)) && value < (int64_t)1 << (bits - 1));
    if (!fits) {
        os_fail(OS_DATA, "column `%.*s`, row %u of the batch: %lld does not fit", (int)c->name.length, c->name.data,
                (unsigned)c->length, (long long)value);
        return;
    }
    buffer_add(&c->values, &value, width); /* little-endian */
    push_valid(c, true);
}

void os_put_f64(os_column *c, double value)
{
    if (!buildable(c) || !takes(c, format_is(c, "g") || format_is(c, "f"), "a float"))
        return;
    float narrow = (float)value;
    if (format_is(c, "f"))
        buffer_add(&c->values, &narrow, 4);
    else
        buffer_add(&c->values, &value, 8);
    push_valid(c, true);
}

void os_put_bool(os_column *c, bool value)
{
    if (!buildable(c) || !takes(c, c->metadata == &extension[0], "a bool"))
        return;
    buffer_add(&c->values, &value, 1);
    push_valid(c, true);
}

void os_put_text(os_column *c, const char *data, size_t length)
{
    if (!buildable(c) || !takes(c, format_is(c, "u") || format_is(c, "z"), "a text"))
        return;
    buffer_add(&c->bytes, data, length);
    push_end(c, c->bytes.length);
    push_valid(c, true);
}

void os_put_decimal(os_column *c, __int128 value)
{
    int precision = 0;
    if (!buildable(c) || !takes(c, c->format.data[0] == 'd', "a decimal"))
        return;
    sscanf(c->format.data, "d:%d", &precision);
    __int128 most = 1;
    for (int i = 0; i < precision; i++)
        most *= 10;
    if (value >= most || value <= -most) {
        os_fail(OS_DATA, "column `%.*s`, row %u of the batch: the value has more than %d digits", (int)c->name.length,
                c->name.data, (unsigned)c->length, precision);
        return;
    }
    buffer_add(&c->values, &value, 16);
    push_valid(c, true);
}

void os_put_uuid(os_column *c, const uint8_t bytes[16])
{
    if (!buildable(c) || !takes(c, format_is(c, "w:16"), "a UUID"))
        return;
    buffer_add(&c->values, bytes, 16);
    push_valid(c, true);
}

void os_put_list(os_column *c)
{
    if (!buildable(c) || !takes(c, format_is(c, "+l"), "a list"))
        return;
    push_end(c, c->children[0]->length);
    push_valid(c, true);
}

void os_put_struct(os_column *c)
{
    if (buildable(c) && takes(c, format_is(c, "+s"), "a struct"))
        push_valid(c, true);
}

bool seal(os_column *c, size_t rows)
{
    if (!c->built)
        return true;
    if (c->length != rows)
        return os_fail(OS_INTERNAL, "column `%.*s` has %u values, but %zu are needed", (int)c->name.length, c->name.data,
                       (unsigned)c->length, rows);
    bool list = format_is(c, "+l"), structure = format_is(c, "+s");
    if (!width_of(c) && !structure && c->values.length == 0)
        buffer_add(&c->values, "\0\0\0", 4);
    c->buffers[0] = c->nulls ? (text){c->valid.data, c->valid.length} : (text){NULL, 0};
    c->buffers[1] = (text){c->values.data, c->values.length};
    c->buffers[2] = (text){c->bytes.data, c->bytes.length};
    c->buffer_count = structure ? 1 : list || width_of(c) ? 2 : 3;
    for (size_t i = 0; i < c->child_count; i++)
        if (!seal(c->children[i], list ? c->children[i]->length : rows))
            return false;
    return true;
}

/* Tables that batches are appended to */

struct appended {
    int32_t handle;
    char *name;
    field *fields;
    size_t count;
    struct appended *next;
};

static size_t count_fields(const os_column *c)
{
    size_t count = 1;
    for (size_t i = 0; i < c->child_count; i++)
        count += count_fields(c->children[i]);
    return count;
}

static void flatten(os_column *c, field *fields, node *nodes, size_t *at)
{
    fields[*at] = (field){c->name, c->format, c->nullable, (uint32_t)c->child_count, c->metadata, c->metadata_count};
    nodes[*at] = (node){c->length, c->buffers, c->buffer_count};
    (*at)++;
    for (size_t i = 0; i < c->child_count; i++)
        flatten(c->children[i], fields, nodes, at);
}

static text kept(text t) { return (text){step_text(t.data, t.length), t.length}; }

static struct appended *table_of(os_output *out, const char *name, const field *fields, size_t count)
{
    for (struct appended *t = out->appended; t; t = t->next) {
        if (strcmp(t->name, name) != 0)
            continue;
        bool same = t->count == count;
        for (size_t i = 0; same && i < count; i++)
            same = t->fields[i].name.length == fields[i].name.length && t->fields[i].format.length == fields[i].format.length &&
                   memcmp(t->fields[i].name.data, fields[i].name.data, fields[i].name.length) == 0 &&
                   memcmp(t->fields[i].format.data, fields[i].format.data, fields[i].format.length) == 0;
        if (same)
            return t;
        os_fail(OS_INTERNAL, "a batch for table `%s` has other columns or types than the first one", name);
        return NULL;
    }
    result r;
    scratch();
    output_create_table(out->handle, name, strlen(name), fields, count, &r);
    if (!passed(&r))
        return NULL;
    struct appended *t = need(sizeof *t);
    t->handle = r.handle;
    t->name = step_text(name, strlen(name));
    t->fields = need(count * sizeof *fields);
    t->count = count;
    for (size_t i = 0; i < count; i++) {
        t->fields[i].name = kept(fields[i].name);
        t->fields[i].format = kept(fields[i].format);
    }
    t->next = out->appended;
    out->appended = t;
    return t;
}

bool os_append(os_output *out, const char *name, os_batch *b)
{
    size_t count = 0, at = 0;
    if (!b || os_failed())
        return false;
    for (size_t i = 0; i < b->count; i++) {
        if (!seal(b->columns[i], b->rows))
            return false;
        count += count_fields(b->columns[i]);
    }
    field *fields = need(count * sizeof *fields);
    node *nodes = need(count * sizeof *nodes);
    for (size_t i = 0; i < b->count; i++)
        flatten(b->columns[i], fields, nodes, &at);
    struct appended *table = table_of(out, name, fields, count);
    if (table && b->rows) {
        result r;
        scratch();
        table_writer_append(table->handle, (uint32_t)b->rows, nodes, count, &r);
        passed(&r);
    }
    free(fields);
    free(nodes);
    os_drop_batch(b);
    return !os_failed();
}

bool finish_appended(os_output *out)
{
    for (struct appended *t = out->appended; t && !os_failed(); t = t->next) {
        result_rows r;
        scratch();
        table_writer_finish(t->handle, &r);
        table_writer_drop(t->handle);
        passed_rows(&r);
    }
    return !os_failed();
}
