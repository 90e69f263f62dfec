/* Tables of rows, SQL, JSON records, files and TCP. */

#include "host.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct os_table {
    int32_t handle;
    bool finished;
    size_t row_start; /* where the current row begins in `pending` */
    buffer pending;
    os_table *next;
};

/* The size after which records are sent. */
#define PENDING (1u << 20)

/* The next column of a list such as "id BIGINT, amount DECIMAL(18,2)"; false at the end. */
static bool next_column(const char **at, pair *column)
{
    while (isspace((unsigned char)**at) || **at == ',')
        (*at)++;
    if (!**at)
        return false;
    const char *start = *at;
    int depth = 0;
    while (**at && (depth || **at != ',')) {
        depth += (**at == '(') - (**at == ')');
        (*at)++;
    }
    const char *end = *at;
    while (end > start && isspace((unsigned char)end[-1]))
        end--;
    const char *name_end = start;
    while (name_end < end && !isspace((unsigned char)*name_end))
        name_end++;
    const char *type = name_end;
    while (type < end && isspace((unsigned char)*type))
        type++;
    column->name = (text){step_text(start, (size_t)(name_end - start)), (size_t)(name_end - start)};
    column->value = (text){step_text(type, (size_t)(end - type)), (size_t)(end - type)};
    return true;
}

os_table *os_create(os_output *out, const char *name, const char *columns)
{
    /* Types have commas too, so there are at most as many columns. */
    pair *declared = need((occurrences(columns, ',') + 1) * sizeof *declared);
    size_t count = 0;
    const char *at = columns ? columns : "";
    while (next_column(&at, &declared[count])) {
        if (declared[count].value.length == 0) {
            os_fail(OS_INTERNAL, "column `%s` of table `%s` is declared without a type", declared[count].name.data, name);
            free(declared);
            return NULL;
        }
        count++;
    }
    result r;
    scratch();
    output_create_json_table(out->handle, name, strlen(name), declared, count, &r);
    free(declared);
    if (!passed(&r))
        return NULL;
    os_table *table = need(sizeof *table);
    table->handle = r.handle;
    table->next = out->tables;
    out->tables = table;
    return table;
}

static bool member(os_table *t, const char *column)
{
    if (!t || os_failed())
        return false;
    buffer_text(&t->pending, t->pending.length == t->row_start ? "{" : ",");
    buffer_json(&t->pending, column, strlen(column));
    buffer_add(&t->pending, ":", 1);
    return true;
}

static void plain(os_table *t, const char *column, const char *format, ...)
{
    if (!member(t, column))
        return;
    va_list values;
    va_start(values, format);
    buffer_print(&t->pending, format, values);
    va_end(values);
}

void os_int(os_table *t, const char *column, int64_t value) { plain(t, column, "%lld", (long long)value); }

void os_real(os_table *t, const char *column, double value)
{
    if (isfinite(value))
        plain(t, column, "%.17g", value);
    else
        os_text(t, column, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
}

void os_bool(os_table *t, const char *column, bool value) { plain(t, column, "%s", value ? "true" : "false"); }

void os_text_n(os_table *t, const char *column, const char *s, size_t length)
{
    if (member(t, column))
        buffer_json(&t->pending, s, length);
}

void os_text(os_table *t, const char *column, const char *s)
{
    if (s)
        os_text_n(t, column, s, strlen(s));
}

void os_text_f(os_table *t, const char *column, const char *format, ...)
{
    buffer b = {0};
    va_list values;
    va_start(values, format);
    buffer_print(&b, format, values);
    va_end(values);
    os_text_n(t, column, b.data, b.length);
    buffer_free(&b);
}

void os_raw(os_table *t, const char *column, const char *json)
{
    if (member(t, column))
        buffer_text(&t->pending, json);
}

static bool flush(os_table *t)
{
    result r;
    if (t->pending.length == 0)
        return true;
    if (utf8_prefix(t->pending.data, t->pending.length) < t->pending.length)
        return os_fail(OS_DATA, "a record is not UTF-8");
    scratch();
    json_writer_append(t->handle, t->pending.data, t->pending.length, &r);
    t->pending.length = t->row_start = 0;
    return passed(&r);
}

static bool row_ends(os_table *t)
{
    buffer_add(&t->pending, "\n", 1);
    t->row_start = t->pending.length;
    return t->pending.length < PENDING || flush(t);
}

bool os_row(os_table *t)
{
    if (!t || os_failed())
        return false;
    buffer_text(&t->pending, t->pending.length == t->row_start ? "{}" : "}");
    return row_ends(t);
}

bool os_row_json(os_table *t, os_json *record)
{
    if (!t || os_failed())
        return false;
    if (!os_is_object(record))
        return os_fail(OS_DATA, "a record is not a JSON object");
    json_write(&t->pending, record);
    return row_ends(t);
}

bool os_rows_json(os_table *t, os_json *records)
{
    for (os_json *record = os_first(records); record; record = os_next(record))
        if (!os_row_json(t, record))
            return false;
    return t && !os_failed();
}

bool os_rows_text(os_table *t, const char *records, size_t length)
{
    if (!t || os_failed())
        return false;
    buffer_add(&t->pending, records, length);
    return row_ends(t);
}

bool os_finish(os_table *t)
{
    if (!t || os_failed())
        return false;
    if (t->finished)
        return true;
    t->finished = true;
    if (!flush(t))
        return false;
    result_rows r;
    scratch();
    json_writer_finish(t->handle, &r);
    json_writer_drop(t->handle);
    buffer_free(&t->pending);
    return passed_rows(&r);
}

/* Tables that the driver did not finish are complete once it has succeeded. */
bool finish_all(os_output *out)
{
    for (os_table *t = out->tables; t; t = t->next)
        if (!os_finish(t))
            return false;
    return true;
}

bool os_create_sql(os_output *out, const char *name, const char *select, uint64_t *rows)
{
    result_rows r;
    if (os_failed())
        return false;
    scratch();
    sql_create_table(out->handle, name, strlen(name), select, strlen(select), &r);
    if (!r.failed && rows)
        *rows = r.rows;
    return passed_rows(&r);
}

/* Files */

struct os_file {
    int32_t handle;
    enum { SOURCE, TARGET, TEMPORARY } kind;
};

static os_file *opened(const result *r, int kind)
{
    if (!passed(r))
        return NULL;
    os_file *file = need(sizeof *file);
    file->handle = r->handle;
    file->kind = kind;
    return file;
}

os_file *os_open_file(const char *path)
{
    result r;
    scratch();
    files_open(path, strlen(path), &r);
    return opened(&r, SOURCE);
}

os_file *os_create_file(const char *path)
{
    result r;
    scratch();
    files_create(path, strlen(path), &r);
    return opened(&r, TARGET);
}

os_file *os_create_temporary(void)
{
    result r;
    scratch();
    files_create_temporary(&r);
    return opened(&r, TEMPORARY);
}

uint64_t os_file_size(os_file *file) { return file && file->kind == SOURCE ? source_size(file->handle) : 0; }

/* Copies bytes that were returned; 0 after an error. */
static size_t copied(const result *r, void *bytes)
{
    if (!passed(r))
        return 0;
    if (r->bytes.length)
        memcpy(bytes, r->bytes.data, r->bytes.length);
    return r->bytes.length;
}

size_t os_read_file(os_file *file, uint64_t offset, void *bytes, size_t length)
{
    result r;
    if (!file || file->kind != SOURCE)
        return 0;
    scratch();
    source_read(file->handle, offset, (uint32_t)(length < (8u << 20) ? length : 8u << 20), &r);
    return copied(&r, bytes);
}

bool os_write_file(os_file *file, const void *bytes, size_t length)
{
    if (!file)
        return false;
    for (const char *at = bytes; length > 0;) {
        size_t part = length < (8u << 20) ? length : 8u << 20;
        result r;
        scratch();
        if (file->kind == TEMPORARY)
            temporary_write(file->handle, at, part, &r);
        else
            target_write(file->handle, at, part, &r);
        if (!passed(&r))
            return false;
        at += part;
        length -= part;
    }
    return true;
}

const char *os_sql_literal(os_file *file)
{
    text literal;
    if (!file || file->kind == TARGET)
        return NULL;
    scratch();
    if (file->kind == TEMPORARY)
        temporary_sql_literal(file->handle, &literal);
    else
        source_sql_literal(file->handle, &literal);
    return step_text(literal.data, literal.length);
}

bool os_copy(os_file *target, const char *select, os_format format, uint64_t *rows)
{
    result_rows r;
    if (!target)
        return false;
    scratch();
    target_copy(target->handle, select, strlen(select), format, NULL, 0, &r);
    if (!r.failed && rows)
        *rows = r.rows;
    return passed_rows(&r);
}

/* The host itself closes targets, when the step has succeeded. */
void os_close_file(os_file *file)
{
    if (file && file->kind == SOURCE)
        source_drop(file->handle);
    if (file && file->kind == TEMPORARY)
        temporary_drop(file->handle);
    free(file);
}

/* TCP */

struct os_connection {
    int32_t handle;
};

os_connection *os_connect(const char *host, uint16_t port, uint32_t timeout_ms)
{
    result r;
    scratch();
    tcp_connect(host, strlen(host), port, timeout_ms, &r);
    if (!passed(&r))
        return NULL;
    os_connection *c = need(sizeof *c);
    c->handle = r.handle;
    return c;
}

void os_set_timeout(os_connection *c, uint32_t timeout_ms)
{
    if (c)
        connection_set_timeout(c->handle, timeout_ms);
}

size_t os_receive(os_connection *c, void *bytes, size_t length)
{
    result r;
    if (!c || length == 0)
        return 0;
    scratch();
    connection_read(c->handle, (uint32_t)(length < (1u << 20) ? length : 1u << 20), &r);
    return copied(&r, bytes);
}

bool os_send(os_connection *c, const void *bytes, size_t length)
{
    result r;
    if (!c)
        return false;
    scratch();
    connection_write(c->handle, bytes, length, &r);
    return passed(&r);
}

bool os_start_tls(os_connection *c, bool verify)
{
    result r;
    if (!c)
        return false;
    scratch();
    connection_start_tls(c->handle, verify, 0, NULL, 0, 0, NULL, 0, &r);
    return passed(&r);
}

void os_disconnect(os_connection *c)
{
    if (c)
        connection_drop(c->handle);
    free(c);
}
