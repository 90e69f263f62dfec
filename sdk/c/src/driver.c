/* Memory, errors, the step, and the exports. */

#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory */

struct chunk {
    chunk *next;
    size_t size, used;
    /* The first bytes of a chunk are as aligned as any value needs. */
    _Alignas(16) char bytes[];
};

arena *results;
arena step_memory;
static arena scratch_memory;

static _Noreturn void out_of_memory(void)
{
    static const char message[] = "the driver is out of memory";
    context_log(OS_ERROR, message, sizeof message - 1, NULL, 0);
    __builtin_trap();
}

void *need(size_t size)
{
    void *memory = calloc(1, size ? size : 1);
    if (!memory)
        out_of_memory();
    return memory;
}

void *need_more(void *old, size_t size)
{
    void *memory = realloc(old, size ? size : 1);
    if (!memory)
        out_of_memory();
    return memory;
}

void *arena_take(arena *a, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    size_t total = 0;
    for (chunk *c = a->first; c; c = c->next) {
        if (c->size - c->used >= size) {
            c->used += size;
            return c->bytes + c->used - size;
        }
        total += c->size;
    }
    /* Doubling keeps the number of chunks small. */
    size_t room = total > 65536 ? total : 65536;
    chunk *c = malloc(sizeof *c + (room > size ? room : size));
    if (!c)
        out_of_memory();
    c->size = room > size ? room : size;
    c->used = size;
    c->next = a->first;
    a->first = c;
    return c->bytes;
}

void arena_reset(arena *a)
{
    for (chunk *c = a->first; c; c = c->next)
        c->used = 0;
}

void arena_free(arena *a)
{
    while (a->first) {
        chunk *next = a->first->next;
        free(a->first);
        a->first = next;
    }
}

arena *scratch(void)
{
    arena_reset(&scratch_memory);
    results = &scratch_memory;
    return results;
}

char *step_text(const char *data, size_t length)
{
    char *copy = arena_take(&step_memory, length + 1);
    if (length)
        memcpy(copy, data, length);
    copy[length] = 0;
    return copy;
}

size_t occurrences(const char *in, char of)
{
    size_t count = 0;
    for (; in && *in; in++)
        count += *in == of;
    return count;
}

#ifdef __wasm__
_Static_assert(sizeof(raw_error) == 32 && sizeof(field) == 32 && sizeof(result_rows) == 40, "the canonical ABI");

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size)
{
    if (size == 0)
        return (void *)align;
    void *memory = arena_take(results ? results : &step_memory, size);
    if (old_size)
        memcpy(memory, old, old_size < size ? old_size : size);
    return memory;
}
#endif

/* Errors */

static os_error first;
static bool has_failed;

const os_error *os_failed(void) { return has_failed ? &first : NULL; }

void os_recover(void) { has_failed = false; }

static bool fail(os_kind kind, const char *code, int64_t retry, const char *format, va_list values)
{
    if (has_failed)
        return false;
    has_failed = true;
    first.kind = kind;
    snprintf(first.code, sizeof first.code, "%s", code);
    first.has_retry = retry >= 0;
    first.retry_after_ms = retry > UINT32_MAX ? UINT32_MAX : (uint32_t)retry;
    vsnprintf(first.message, sizeof first.message, format, values);
    return false;
}

bool os_fail(os_kind kind, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fail(kind, "", -1, format, values);
    va_end(values);
    return false;
}

bool os_fail_code(os_kind kind, const char *code, int64_t retry_after_ms, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fail(kind, code ? code : "", retry_after_ms, format, values);
    va_end(values);
    return false;
}

static bool take_error(const raw_error *e)
{
    const char *code = e->code.some ? step_text(e->code.value.data, e->code.value.length) : "";
    return os_fail_code((os_kind)e->kind, code, e->has_retry ? (int64_t)e->retry : -1, "%.*s", (int)e->message.length,
                        e->message.length ? e->message.data : "");
}

bool passed(const result *r) { return !r->failed || take_error(&r->error); }

bool passed_rows(const result_rows *r) { return !r->failed || take_error(&r->error); }

/* The step */

const char *os_step_id(void)
{
    text id;
    scratch();
    context_step_id(&id);
    return step_text(id.data, id.length);
}

uint32_t os_attempt(void) { return context_attempt(); }

void os_partition(uint32_t *index, uint32_t *count)
{
    uint32_t part[2];
    context_partition(part);
    *index = part[0];
    *count = part[1];
}

void os_log(os_level level, const char *format, ...)
{
    buffer b = {0};
    va_list values;
    va_start(values, format);
    buffer_print(&b, format, values);
    va_end(values);
    make_utf8(b.data, b.length);
    context_log(level, b.data, b.length, NULL, 0);
    buffer_free(&b);
}

void os_metric(const char *name, double value) { context_metric(name, strlen(name), value); }

void os_progress(uint64_t done, uint64_t total) { context_progress(done, total != 0, total); }

bool os_reject(const char *row, size_t length, const char *format, ...)
{
    buffer b = {0};
    result r;
    va_list values;
    va_start(values, format);
    buffer_print(&b, format, values);
    va_end(values);
    scratch();
    context_reject(row, length, b.data, b.length, &r);
    buffer_free(&b);
    return passed(&r);
}

const char *os_secret(const char *pointer)
{
    option_handle found;
    text value;
    secrets_get(pointer, strlen(pointer), &found);
    if (!found.some)
        return NULL;
    scratch();
    secret_reveal(found.handle, &value);
    secret_drop(found.handle);
    return step_text(value.data, value.length);
}

os_json *os_state(void)
{
    option_text state;
    scratch();
    state_get(&state);
    return state.some ? os_parse(state.value.data, state.value.length, OS_DATA) : NULL;
}

bool os_set_state(const char *format, ...)
{
    buffer b = {0};
    result r;
    va_list values;
    va_start(values, format);
    buffer_print(&b, format, values);
    va_end(values);
    scratch();
    state_set(b.data, b.length, &r);
    buffer_free(&b);
    return passed(&r);
}

/* Exports. Their result is read after they have returned. */

typedef struct {
    option_text schema;
    text name;
    struct catalog_column {
        text name, source_type, duckdb_type;
        uint8_t nullable;
    } *columns;
    size_t column_count;
    text *key;
    size_t key_count;
    struct {
        uint8_t some;
        uint64_t value;
    } rows;
} catalog_table;

struct os_catalog {
    catalog_table *tables;
    size_t count;
};

static struct {
    uint8_t failed;
    union {
        raw_error error;
        text server;
        os_catalog catalog;
    };
} returned;

#ifdef __wasm__
_Static_assert(sizeof(catalog_table) == 56, "the canonical ABI");
#endif

static text text_of(const char *s) { return (text){step_text(s, strlen(s)), strlen(s)}; }

static void *finish_export(void)
{
    returned.failed = has_failed;
    if (has_failed) {
        memset(&returned.error, 0, sizeof returned.error);
        returned.error.kind = first.kind;
        if (first.code[0])
            returned.error.code = (option_text){1, text_of(first.code)};
        size_t length = strlen(first.message);
        make_utf8(first.message, length);
        make_utf8(first.code, strlen(first.code));
        returned.error.message = (text){first.message, length};
        returned.error.has_retry = first.has_retry;
        returned.error.retry = first.retry_after_ms;
    }
    return &returned;
}

/* The config, and a failure if the driver says so without a reason. */
static os_json *begin_export(void)
{
    text config;
    has_failed = false;
    scratch();
    context_config(&config);
    return os_parse(config.data, config.length, OS_CONFIG);
}

static void ended(bool done)
{
    if (!done)
        os_fail(OS_INTERNAL, "the driver failed without saying why");
}

void *os_run_extractor(bool (*run)(os_json *, os_output *), int32_t output)
{
    os_output out = {.handle = output};
    os_json *config = begin_export();
    if (config)
        ended(run(config, &out));
    finish_all(&out);
    finish_appended(&out);
    os_free(config);
    return finish_export();
}

void *os_run_processor(bool (*run)(os_json *, os_inputs *, os_output *), int32_t *inputs, size_t count, int32_t output)
{
    os_output out = {.handle = output};
    os_inputs in = {inputs, count};
    os_json *config = begin_export();
    if (config)
        ended(run(config, &in, &out));
    finish_all(&out);
    finish_appended(&out);
    os_free(config);
    return finish_export();
}

void *os_run_writer(bool (*run)(os_json *, os_inputs *), int32_t *inputs, size_t count)
{
    os_inputs in = {inputs, count};
    os_json *config = begin_export();
    if (config)
        ended(run(config, &in));
    os_free(config);
    return finish_export();
}

void *os_run_check(const char *(*run)(os_json *))
{
    os_json *config = begin_export();
    const char *server = config ? run(config) : NULL;
    ended(server != NULL);
    finish_export();
    if (!has_failed)
        returned.server = text_of(server);
    os_free(config);
    return &returned;
}

void *os_run_discover(bool (*run)(os_json *, os_catalog *))
{
    os_catalog catalog = {0};
    os_json *config = begin_export();
    if (config)
        ended(run(config, &catalog));
    finish_export();
    if (!has_failed)
        returned.catalog = catalog;
    os_free(config);
    return &returned;
}

void os_catalog_table(os_catalog *catalog, const char *schema, const char *name)
{
    catalog->tables = need_more(catalog->tables, (catalog->count + 1) * sizeof *catalog->tables);
    catalog_table *table = &catalog->tables[catalog->count++];
    memset(table, 0, sizeof *table);
    if (schema)
        table->schema = (option_text){1, text_of(schema)};
    table->name = text_of(name);
}

void os_catalog_column(os_catalog *catalog, const char *name, const char *source_type, const char *duckdb_type, bool nullable)
{
    catalog_table *table = &catalog->tables[catalog->count - 1];
    table->columns = need_more(table->columns, (table->column_count + 1) * sizeof *table->columns);
    table->columns[table->column_count++] =
        (struct catalog_column){text_of(name), text_of(source_type), text_of(duckdb_type), nullable};
}

void os_catalog_key(os_catalog *catalog, const char *column)
{
    catalog_table *table = &catalog->tables[catalog->count - 1];
    table->key = need_more(table->key, (table->key_count + 1) * sizeof *table->key);
    table->key[table->key_count++] = text_of(column);
}

void os_catalog_rows(os_catalog *catalog, uint64_t estimate)
{
    catalog_table *table = &catalog->tables[catalog->count - 1];
    table->rows.some = 1;
    table->rows.value = estimate;
}
