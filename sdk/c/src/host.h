/* The imports of the contract osiris:driver@0.2.0, and how their results are held. A native test links a host in memory
 * that defines the same functions.
 *
 * On wasm32 the layout of these structs is that of the canonical ABI. */
#ifndef OSIRIS_HOST_H
#define OSIRIS_HOST_H

#include "../osiris.h"

#ifdef __wasm__
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#else
#define IMPORT(module, name)
#endif
#define CONTEXT(name) IMPORT("osiris:driver/context@0.2.0", name)
#define SECRETS(name) IMPORT("osiris:driver/secrets@0.2.0", name)
#define STATE(name) IMPORT("osiris:driver/state@0.2.0", name)
#define TABLES(name) IMPORT("osiris:driver/tables@0.2.0", name)
#define SQL(name) IMPORT("osiris:driver/sql@0.2.0", name)
#define FILES(name) IMPORT("osiris:driver/files@0.2.0", name)
#define TCP(name) IMPORT("osiris:driver/tcp@0.2.0", name)

/* Memory */

/* Memory that is released as a whole. */
typedef struct chunk chunk;
typedef struct {
    chunk *first;
} arena;

void *arena_take(arena *a, size_t size);
void arena_reset(arena *a); /* keeps its memory for the next use */
void arena_free(arena *a);
/* What the host returns goes into this arena. */
extern arena *results;
/* For results that are used at once; reset before each call. */
arena *scratch(void);
/* For texts that are valid until the step ends. */
extern arena step_memory;
void *need(size_t size); /* zeroed memory, or a trap */
void *need_more(void *old, size_t size);
char *step_text(const char *data, size_t length);
size_t occurrences(const char *in, char of); /* 0 in NULL */

/* The canonical ABI */

typedef struct {
    char *data;
    size_t length;
} text;
typedef struct {
    text name, value;
} pair;
typedef struct {
    uint8_t some;
    text value;
} option_text;
typedef struct {
    uint8_t kind;
    option_text code;
    text message;
    uint8_t has_retry;
    uint32_t retry;
} raw_error;
typedef struct {
    text name, format;
    uint8_t nullable;
    uint32_t children;
    pair *metadata;
    size_t metadata_count;
} field;
typedef struct {
    field *fields;
    size_t count;
} schema;
typedef struct {
    uint32_t length;
    text *buffers;
    size_t buffer_count;
} node;
typedef struct {
    uint32_t rows;
    node *nodes;
    size_t count;
} raw_batch;
typedef struct {
    uint8_t failed;
    union {
        raw_error error;
        int32_t handle;
        text bytes;
        struct {
            text *items;
            size_t count;
        } texts;
        schema schema;
        option_text records;
        struct {
            uint8_t some;
            raw_batch value;
        } batch;
    };
} result;
typedef struct {
    uint8_t failed;
    union {
        raw_error error;
        uint64_t rows;
    };
} result_rows;
typedef struct {
    uint8_t some;
    int32_t handle;
} option_handle;

CONTEXT("step-id") void context_step_id(text *ret);
CONTEXT("config") void context_config(text *ret);
CONTEXT("partition") void context_partition(uint32_t ret[2]);
CONTEXT("attempt") uint32_t context_attempt(void);
CONTEXT("reject")
void context_reject(const char *row, size_t length, const char *reason, size_t reason_length, result *ret);
CONTEXT("log") void context_log(int32_t level, const char *message, size_t length, const pair *fields, size_t count);
CONTEXT("metric") void context_metric(const char *name, size_t length, double value);
CONTEXT("progress") void context_progress(uint64_t done, int32_t known, uint64_t total);
SECRETS("get") void secrets_get(const char *name, size_t length, option_handle *ret);
SECRETS("[method]secret.reveal") void secret_reveal(int32_t self, text *ret);
SECRETS("[resource-drop]secret") void secret_drop(int32_t self);
STATE("get") void state_get(option_text *ret);
STATE("set") void state_set(const char *json, size_t length, result *ret);

TABLES("[method]input.alias") void input_alias(int32_t self, text *ret);
TABLES("[method]input.sql-name") void input_sql_name(int32_t self, text *ret);
TABLES("[method]input.rows") uint64_t input_rows(int32_t self);
TABLES("[method]input.read") void input_read(int32_t self, const text *columns, size_t count, int32_t types, result *ret);
TABLES("[method]input.read-json") void input_read_json(int32_t self, const text *columns, size_t count, result *ret);
TABLES("[method]reader.schema") void reader_schema(int32_t self, schema *ret);
TABLES("[method]reader.next") void reader_next(int32_t self, result *ret);
TABLES("[resource-drop]reader") void reader_drop(int32_t self);
TABLES("[method]json-reader.next") void json_reader_next(int32_t self, result *ret);
TABLES("[resource-drop]json-reader") void json_reader_drop(int32_t self);
TABLES("[method]output.create-table") void output_create_table(int32_t self, const char *name, size_t length, const field *fields, size_t count, result *ret);
TABLES("[method]output.create-json-table") void output_create_json_table(int32_t self, const char *name, size_t length, const pair *columns, size_t count, result *ret);
TABLES("[method]table-writer.append") void table_writer_append(int32_t self, uint32_t rows, const node *nodes, size_t count, result *ret);
TABLES("[method]table-writer.finish") void table_writer_finish(int32_t self, result_rows *ret);
TABLES("[resource-drop]table-writer") void table_writer_drop(int32_t self);
TABLES("[method]json-writer.append") void json_writer_append(int32_t self, const char *records, size_t length, result *ret);
TABLES("[method]json-writer.finish") void json_writer_finish(int32_t self, result_rows *ret);
TABLES("[resource-drop]json-writer") void json_writer_drop(int32_t self);
SQL("create-table") void sql_create_table(int32_t output, const char *name, size_t length, const char *select, size_t select_length, result_rows *ret);
SQL("query") void sql_query(const char *select, size_t length, int32_t types, result *ret);
SQL("query-json") void sql_query_json(const char *select, size_t length, result *ret);

FILES("open") void files_open(const char *path, size_t length, result *ret);
FILES("create") void files_create(const char *path, size_t length, result *ret);
FILES("create-temporary") void files_create_temporary(result *ret);
FILES("[method]temporary.write") void temporary_write(int32_t self, const void *bytes, size_t length, result *ret);
FILES("[method]temporary.sql-literal") void temporary_sql_literal(int32_t self, text *ret);
FILES("[resource-drop]temporary") void temporary_drop(int32_t self);
FILES("[method]source.sql-literal") void source_sql_literal(int32_t self, text *ret);
FILES("[method]source.size") uint64_t source_size(int32_t self);
FILES("[method]source.read") void source_read(int32_t self, uint64_t offset, uint32_t length, result *ret);
FILES("[resource-drop]source") void source_drop(int32_t self);
FILES("[method]target.copy") void target_copy(int32_t self, const char *select, size_t length, int32_t format, const pair *options, size_t count, result_rows *ret);
FILES("[method]target.write") void target_write(int32_t self, const void *bytes, size_t length, result *ret);

TCP("connect") void tcp_connect(const char *host, size_t length, int32_t port, uint32_t timeout, result *ret);
TCP("[method]connection.set-timeout") void connection_set_timeout(int32_t self, uint32_t timeout);
TCP("[method]connection.read") void connection_read(int32_t self, uint32_t length, result *ret);
TCP("[method]connection.write") void connection_write(int32_t self, const void *bytes, size_t length, result *ret);
TCP("[method]connection.start-tls") void connection_start_tls(int32_t self, int32_t verify, int32_t named, const char *name, size_t name_length, int32_t trusted, const char *ca, size_t ca_length, result *ret);
TCP("[resource-drop]connection") void connection_drop(int32_t self);

/* Shared by the SDK's files */

struct os_output {
    int32_t handle;
    struct appended *appended;
    os_table *tables;
};
struct os_inputs {
    int32_t *handles;
    size_t count;
};

/* Takes over the error of a result; returns whether there was none. */
bool passed(const result *r);
bool passed_rows(const result_rows *r);
bool finish_all(os_output *out);
bool finish_appended(struct os_output *out);

/* A text that grows. */
typedef struct {
    char *data;
    size_t length, room;
} buffer;

void buffer_add(buffer *b, const void *data, size_t length);
void buffer_text(buffer *b, const char *text);
void buffer_print(buffer *b, const char *format, va_list values);
void buffer_json(buffer *b, const char *data, size_t length); /* a JSON string */
void buffer_free(buffer *b);
void json_write(buffer *b, os_json *value);
/* The length of the part at the start that is UTF-8. The host answers other texts with a trap. */
size_t utf8_prefix(const char *data, size_t length);
void make_utf8(char *data, size_t length); /* wrong bytes become question marks */

/* One exchange over HTTP: the wasi:http of http_wasi.c, or that of a test. Returns false with an error that is not
 * remembered, so that the caller can retry. */
typedef struct {
    const char *method, *url, *headers, *body;
    size_t body_length, max_bytes;
    uint32_t timeout_ms;
} exchange;

bool http_exchange(const exchange *request, os_response *response, os_error *error);
uint64_t http_now_ms(void);
void http_sleep_ms(uint64_t wait);

#endif
