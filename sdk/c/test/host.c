/* The imports of the contract, in memory. */

#include "osiris_test.h"

#include "../src/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint32_t rows;
    node *nodes;
    size_t count;
} stored;
typedef struct table {
    char *name, *sql;
    buffer records, columns;
    field *fields;
    size_t field_count;
    stored *batches;
    size_t batch_count;
    uint64_t rows;
    bool json, finished;
} table;
typedef struct {
    char *name;
    buffer content;
} named;

static struct {
    const char *config;
    table *tables, *inputs[16], *query;
    size_t table_count, input_count;
    named files[32], secrets[16];
    size_t file_count, secret_count;
    char *state;
    buffer log, rejected;
    uint64_t waited;
    int (*respond)(const char *, const char *, const char *, const char *, const char **, const char **);
    struct {
        table *table;
        size_t at;
    } readers[1024];
    size_t reader_count;
} host;

static char *copy_of(const char *data, size_t length)
{
    char *copy = need(length + 1);
    if (length)
        memcpy(copy, data, length);
    return copy;
}

static text text_of(const char *s) { return (text){(char *)s, strlen(s)}; }

static void refuse(result *r, os_kind kind, const char *message)
{
    memset(r, 0, sizeof *r);
    r->failed = 1;
    r->error.kind = kind;
    r->error.message = text_of(message);
}

static named *find(named *all, size_t count, const char *name, size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(all[i].name) == length && memcmp(all[i].name, name, length) == 0)
            return &all[i];
    return NULL;
}

static table *table_named(const char *name)
{
    for (size_t i = 0; i < host.table_count; i++)
        if (strcmp(host.tables[i].name, name) == 0)
            return &host.tables[i];
    return NULL;
}

void os_test_reset(void)
{
    table *tables = host.tables;
    size_t count = host.table_count;
    memset(&host, 0, sizeof host);
    host.tables = tables;
    host.table_count = count;
    host.config = "{}";
    os_recover();
}

void os_test_config(const char *json) { host.config = json; }

void os_test_secret(const char *pointer, const char *value)
{
    named *s = &host.secrets[host.secret_count++];
    s->name = copy_of(pointer, strlen(pointer));
    buffer_text(&s->content, value);
}

void os_test_state(const char *json) { host.state = copy_of(json, strlen(json)); }

void os_test_file(const char *path, const char *content)
{
    named *f = &host.files[host.file_count++];
    f->name = copy_of(path, strlen(path));
    buffer_text(&f->content, content);
}

/* A copy of the table, since the next run makes its own. */
static table *kept(const char *name)
{
    table *t = need(sizeof *t);
    *t = *table_named(name);
    return t;
}

void os_test_input(const char *name) { host.inputs[host.input_count++] = kept(name); }

void os_test_query(const char *name) { host.query = kept(name); }

void os_test_http(int (*respond)(const char *, const char *, const char *, const char *, const char **, const char **))
{
    host.respond = respond;
}

static void begin(void)
{
    host.tables = NULL;
    host.table_count = 0;
}

static int32_t *handles(void)
{
    int32_t *all = need((host.input_count + 1) * sizeof *all);
    for (size_t i = 0; i < host.input_count; i++)
        all[i] = (int32_t)i;
    return all;
}

const os_error *os_test_extract(bool (*run)(os_json *, os_output *))
{
    begin();
    os_run_extractor(run, 0);
    return os_failed();
}

const os_error *os_test_transform(bool (*run)(os_json *, os_inputs *, os_output *))
{
    begin();
    os_run_processor(run, handles(), host.input_count, 0);
    return os_failed();
}

const os_error *os_test_load(bool (*run)(os_json *, os_inputs *))
{
    begin();
    os_run_writer(run, handles(), host.input_count);
    return os_failed();
}

const char *os_test_records(const char *name)
{
    table *t = table_named(name);
    return !t ? NULL : t->records.data ? t->records.data : "";
}

const char *os_test_columns(const char *name)
{
    table *t = table_named(name);
    return !t ? NULL : t->columns.data ? t->columns.data : "";
}

bool os_test_finished(const char *name) { return table_named(name) && table_named(name)->finished; }

const char *os_test_sql(const char *name) { return table_named(name) ? table_named(name)->sql : NULL; }

const char *os_test_rejected(void) { return host.rejected.data ? host.rejected.data : ""; }

const char *os_test_stored_state(void) { return host.state; }

const char *os_test_written(const char *path)
{
    named *f = find(host.files, host.file_count, path, strlen(path));
    return f ? f->content.data : NULL;
}

const char *os_test_log(void) { return host.log.data ? host.log.data : ""; }

uint64_t os_test_waited_ms(void) { return host.waited; }

/* Imports */

void context_step_id(text *ret) { *ret = text_of("test"); }
void context_config(text *ret) { *ret = text_of(host.config); }
void context_partition(uint32_t ret[2]) { ret[0] = 0, ret[1] = 1; }
uint32_t context_attempt(void) { return 1; }
void context_metric(const char *name, size_t length, double value) { (void)name, (void)length, (void)value; }
void context_progress(uint64_t done, int32_t known, uint64_t total) { (void)done, (void)known, (void)total; }

void context_log(int32_t level, const char *message, size_t length, const pair *fields, size_t count)
{
    (void)level, (void)fields, (void)count;
    buffer_add(&host.log, message, length);
    buffer_add(&host.log, "\n", 1);
}

void context_reject(const char *row, size_t length, const char *reason, size_t reason_length, result *ret)
{
    ret->failed = 0;
    buffer_add(&host.rejected, row, length);
    buffer_add(&host.rejected, " ", 1);
    buffer_add(&host.rejected, reason, reason_length);
    buffer_add(&host.rejected, "\n", 1);
}

void secrets_get(const char *name, size_t length, option_handle *ret)
{
    named *s = find(host.secrets, host.secret_count, name, length);
    ret->some = s != NULL;
    ret->handle = s ? (int32_t)(s - host.secrets) : 0;
}

void secret_reveal(int32_t self, text *ret) { *ret = text_of(host.secrets[self].content.data); }
void secret_drop(int32_t self) { (void)self; }

void state_get(option_text *ret)
{
    ret->some = host.state != NULL;
    if (host.state)
        ret->value = text_of(host.state);
}

void state_set(const char *json, size_t length, result *ret)
{
    ret->failed = 0;
    host.state = copy_of(json, length);
}

void input_alias(int32_t self, text *ret) { *ret = text_of(host.inputs[self]->name); }
void input_sql_name(int32_t self, text *ret) { input_alias(self, ret); }
uint64_t input_rows(int32_t self) { return host.inputs[self]->rows; }

static void open_reader(table *t, result *ret)
{
    if (!t) {
        refuse(ret, OS_INTERNAL, "the native host runs no SQL; call os_test_query");
        return;
    }
    ret->failed = 0;
    ret->handle = (int32_t)host.reader_count;
    host.readers[host.reader_count].table = t;
    host.readers[host.reader_count++].at = 0;
}

static size_t columns_read;

size_t os_test_columns_read(void) { return columns_read; }

void input_read(int32_t self, const text *columns, size_t count, int32_t types, result *ret)
{
    (void)columns, (void)types;
    columns_read = count;
    open_reader(host.inputs[self], ret);
}

void input_read_json(int32_t self, const text *columns, size_t count, result *ret) { input_read(self, columns, count, 0, ret); }

void reader_schema(int32_t self, schema *ret)
{
    ret->fields = host.readers[self].table->fields;
    ret->count = host.readers[self].table->field_count;
}

void reader_next(int32_t self, result *ret)
{
    table *t = host.readers[self].table;
    size_t at = host.readers[self].at++;
    ret->failed = 0;
    ret->batch.some = at < t->batch_count;
    if (ret->batch.some)
        ret->batch.value = (raw_batch){t->batches[at].rows, t->batches[at].nodes, t->batches[at].count};
}

void reader_drop(int32_t self) { (void)self; }

void json_reader_next(int32_t self, result *ret)
{
    table *t = host.readers[self].table;
    ret->failed = 0;
    ret->records.some = host.readers[self].at++ == 0 && t->records.length > 0;
    ret->records.value = (text){t->records.data, t->records.length};
}

void json_reader_drop(int32_t self) { (void)self; }

static table *add_table(const char *name, size_t length)
{
    host.tables = need_more(host.tables, (host.table_count + 1) * sizeof *host.tables);
    table *t = &host.tables[host.table_count++];
    memset(t, 0, sizeof *t);
    t->name = copy_of(name, length);
    return t;
}

static void describe(table *t, text name, text type)
{
    if (t->columns.length)
        buffer_text(&t->columns, ", ");
    buffer_add(&t->columns, name.data, name.length);
    buffer_text(&t->columns, " ");
    buffer_add(&t->columns, type.data, type.length);
}

static text copied_text(text t) { return (text){copy_of(t.data, t.length), t.length}; }

void output_create_table(int32_t self, const char *name, size_t length, const field *fields, size_t count, result *ret)
{
    (void)self;
    table *t = add_table(name, length);
    t->fields = need(count * sizeof *fields);
    t->field_count = count;
    for (size_t i = 0; i < count; i++) {
        t->fields[i] = fields[i];
        t->fields[i].name = copied_text(fields[i].name);
        t->fields[i].format = copied_text(fields[i].format);
        t->fields[i].metadata = need(fields[i].metadata_count * sizeof(pair));
        for (size_t k = 0; k < fields[i].metadata_count; k++)
            t->fields[i].metadata[k] = (pair){copied_text(fields[i].metadata[k].name), copied_text(fields[i].metadata[k].value)};
        describe(t, fields[i].name, fields[i].format);
    }
    ret->failed = 0;
    ret->handle = (int32_t)host.table_count - 1;
}

void output_create_json_table(int32_t self, const char *name, size_t length, const pair *columns, size_t count, result *ret)
{
    (void)self;
    table *t = add_table(name, length);
    t->json = true;
    for (size_t i = 0; i < count; i++)
        describe(t, columns[i].name, columns[i].value);
    ret->failed = 0;
    ret->handle = (int32_t)host.table_count - 1;
}

void table_writer_append(int32_t self, uint32_t rows, const node *nodes, size_t count, result *ret)
{
    table *t = &host.tables[self];
    t->batches = need_more(t->batches, (t->batch_count + 1) * sizeof *t->batches);
    node *copy = need(count * sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        copy[i] = (node){nodes[i].length, need(nodes[i].buffer_count * sizeof(text)), nodes[i].buffer_count};
        for (size_t k = 0; k < nodes[i].buffer_count; k++)
            copy[i].buffers[k] = copied_text(nodes[i].buffers[k]);
    }
    t->batches[t->batch_count++] = (stored){rows, copy, count};
    t->rows += rows;
    ret->failed = 0;
}

void table_writer_finish(int32_t self, result_rows *ret)
{
    host.tables[self].finished = true;
    ret->failed = 0;
    ret->rows = host.tables[self].rows;
}

void table_writer_drop(int32_t self) { (void)self; }

void json_writer_append(int32_t self, const char *records, size_t length, result *ret)
{
    buffer_add(&host.tables[self].records, records, length);
    ret->failed = 0;
}

void json_writer_finish(int32_t self, result_rows *ret) { table_writer_finish(self, ret); }
void json_writer_drop(int32_t self) { (void)self; }

void sql_create_table(int32_t output, const char *name, size_t length, const char *select, size_t select_length, result_rows *ret)
{
    (void)output;
    table *t = add_table(name, length);
    t->sql = copy_of(select, select_length);
    t->finished = true;
    ret->failed = 0;
    ret->rows = 0;
}

void sql_query(const char *select, size_t length, int32_t types, result *ret)
{
    (void)select, (void)length, (void)types;
    open_reader(host.query, ret);
}

void sql_query_json(const char *select, size_t length, result *ret) { sql_query(select, length, 0, ret); }

void files_open(const char *path, size_t length, result *ret)
{
    named *f = find(host.files, host.file_count, path, length);
    if (!f) {
        refuse(ret, OS_NOT_FOUND, "the file does not exist");
        return;
    }
    ret->failed = 0;
    ret->handle = (int32_t)(f - host.files);
}

void files_create(const char *path, size_t length, result *ret)
{
    named *f = &host.files[host.file_count++];
    f->name = copy_of(path, length);
    ret->failed = 0;
    ret->handle = (int32_t)(f - host.files);
}

void files_create_temporary(result *ret) { files_create("temporary", 9, ret); }

void temporary_write(int32_t self, const void *bytes, size_t length, result *ret)
{
    buffer_add(&host.files[self].content, bytes, length);
    ret->failed = 0;
}

void target_write(int32_t self, const void *bytes, size_t length, result *ret) { temporary_write(self, bytes, length, ret); }
void temporary_sql_literal(int32_t self, text *ret) { *ret = text_of(host.files[self].name); }
void source_sql_literal(int32_t self, text *ret) { *ret = text_of(host.files[self].name); }
void temporary_drop(int32_t self) { (void)self; }
void source_drop(int32_t self) { (void)self; }
uint64_t source_size(int32_t self) { return host.files[self].content.length; }

void source_read(int32_t self, uint64_t offset, uint32_t length, result *ret)
{
    buffer *b = &host.files[self].content;
    size_t start = offset < b->length ? (size_t)offset : b->length;
    ret->failed = 0;
    ret->bytes = (text){b->data + start, b->length - start < length ? b->length - start : length};
}

void target_copy(int32_t self, const char *select, size_t length, int32_t format, const pair *options, size_t count, result_rows *ret)
{
    (void)format, (void)options, (void)count;
    buffer_add(&host.files[self].content, select, length);
    ret->failed = 0;
    ret->rows = 0;
}

void tcp_connect(const char *name, size_t length, int32_t port, uint32_t timeout, result *ret)
{
    (void)name, (void)length, (void)port, (void)timeout;
    refuse(ret, OS_DENIED, "the native host connects to nothing");
}

void connection_set_timeout(int32_t self, uint32_t timeout) { (void)self, (void)timeout; }
void connection_read(int32_t self, uint32_t length, result *ret) { tcp_connect(NULL, 0, self, length, ret); }
void connection_write(int32_t self, const void *bytes, size_t length, result *ret) { tcp_connect(bytes, length, self, 0, ret); }
void connection_start_tls(int32_t self, int32_t verify, int32_t named, const char *name, size_t name_length, int32_t trusted,
                          const char *ca, size_t ca_length, result *ret)
{
    (void)verify, (void)named, (void)trusted, (void)ca, (void)ca_length;
    tcp_connect(name, name_length, self, 0, ret);
}
void connection_drop(int32_t self) { (void)self; }

/* HTTP */

uint64_t http_now_ms(void) { return host.waited; }
void http_sleep_ms(uint64_t wait) { host.waited += wait; }

bool http_exchange(const exchange *x, os_response *to, os_error *e)
{
    const char *headers = "", *body = "";
    to->status = host.respond ? host.respond(x->method, x->url, x->headers, x->body, &headers, &body) : 0;
    if (!to->status) {
        e->kind = OS_TRANSIENT;
        snprintf(e->message, sizeof e->message, "the connection broke");
        return false;
    }
    to->headers = copy_of(headers, strlen(headers));
    to->body = copy_of(body, strlen(body));
    to->length = strlen(body);
    if (to->length > x->max_bytes) {
        e->kind = OS_DATA;
        snprintf(e->message, sizeof e->message, "the response is larger than it may be");
        return false;
    }
    return true;
}
