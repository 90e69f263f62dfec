/* The SDK for Osiris drivers in C; also for C++ and Zig.
 *
 * A driver defines one function and exports it with a macro:
 *
 *     #include <osiris.h>
 *
 *     static bool extract(os_json *config, os_output *out)
 *     {
 *         os_table *table = os_create(out, "main", "greeting VARCHAR");
 *         for (os_json *name = os_first(os_get(config, "names")); name; name = os_next(name)) {
 *             os_text_f(table, "greeting", "hello %s", os_str(name));
 *             os_row(table);
 *         }
 *         return os_finish(table);
 *     }
 *     OSIRIS_EXTRACTOR(extract)
 *
 * Errors are remembered: the first one ends the step, whatever the driver does afterwards. A function that fails returns
 * false, NULL or 0, and so does every function that gets such a NULL, so that a driver need not check each call.
 *
 * Texts that functions return end with a zero byte and belong to the SDK. They are valid until the object that they come
 * from is closed; texts without an object, such as os_step_id(), until the step ends.
 */
#ifndef OSIRIS_H
#define OSIRIS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Errors */

/* What went wrong, in the order of the contract's `error-kind`. Only OS_RATE_LIMITED, OS_TRANSIENT and OS_TIMEOUT are
 * worth another attempt; OS_CONFIG, OS_AUTH, OS_DENIED and OS_NOT_FOUND are for the user to fix. */
typedef enum {
    OS_CONFIG, OS_AUTH, OS_DENIED, OS_NOT_FOUND, OS_RATE_LIMITED, OS_TRANSIENT, OS_TIMEOUT, OS_DATA, OS_LIMIT,
    OS_INTERNAL, OS_OTHER
} os_kind;

typedef struct {
    os_kind kind;
    char code[64];     /* the error's name in the system that it comes from, or empty */
    char message[2048];
    bool has_retry;
    uint32_t retry_after_ms;
} os_error;

/* Fails the step; returns false. The message is one sentence in lower case, without a full stop. */
bool os_fail(os_kind kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As os_fail, with a code, and a wait in milliseconds if it is not negative. */
bool os_fail_code(os_kind kind, const char *code, int64_t retry_after_ms, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The first error, or NULL. */
const os_error *os_failed(void);
/* Forgets the error, for a driver that has another way. */
void os_recover(void);

/* JSON */

typedef struct os_json os_json;

/* Parses one value. NULL, with an error of this kind, if the text is not JSON. */
os_json *os_parse(const char *text, size_t length, os_kind kind);
void os_free(os_json *root);
os_json *os_get(os_json *object, const char *name); /* NULL if there is no such member, or it is null */
os_json *os_first(os_json *list_or_object);
os_json *os_next(os_json *item);
const char *os_name(os_json *member);
size_t os_count(os_json *list_or_object);
const char *os_str(os_json *value);                 /* a string, or a number as it is written; otherwise "" */
const char *os_str_or(os_json *value, const char *otherwise);
int64_t os_int_or(os_json *value, int64_t otherwise); /* otherwise, unless it is an integer of 64 bits */
double os_real_or(os_json *value, double otherwise);
bool os_bool_or(os_json *value, bool otherwise);
bool os_is_list(os_json *value);
bool os_is_object(os_json *value);
/* The member of the config; fails with OS_CONFIG if there is none. */
os_json *os_require(os_json *object, const char *name);

/* The step */

const char *os_step_id(void);
uint32_t os_attempt(void);
void os_partition(uint32_t *index, uint32_t *count);
typedef enum { OS_TRACE, OS_DEBUG, OS_INFO, OS_WARN, OS_ERROR } os_level;
void os_log(os_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void os_metric(const char *name, double value);
void os_progress(uint64_t done, uint64_t total); /* a total of 0 is unknown */
/* Rejects one row that cannot be understood or delivered: the host stores it with the reason in the step's table
 * `rejected`, which a writer's step has too. The row is JSON, such as a line of os_next_records. Fails with OS_DATA for more
 * rows than the pipeline allows (`rejects`, by default none). */
bool os_reject(const char *row, size_t length, const char *reason_format, ...) __attribute__((format(printf, 3, 4)));
/* The secret in a field of the config, such as "/token"; NULL if there is none. */
const char *os_secret(const char *pointer);
/* What the last run stored; NULL in the first run. The spec must request `state`. */
os_json *os_state(void);
bool os_set_state(const char *format, ...) __attribute__((format(printf, 1, 2))); /* JSON */

/* Tables of rows */

typedef struct os_output os_output;
typedef struct os_table os_table;

/* Creates a table that is written row by row, as JSON: columns names columns and their DuckDB types, as in
 * "id BIGINT, amount DECIMAL(18,2), tags VARCHAR[]". The host converts each value to that type, or refuses it. Columns that
 * are not named get the type that fits all their values. */
os_table *os_create(os_output *out, const char *name, const char *columns);
void os_int(os_table *table, const char *column, int64_t value);
void os_real(os_table *table, const char *column, double value);
void os_bool(os_table *table, const char *column, bool value);
void os_text(os_table *table, const char *column, const char *text); /* also dates, decimals, … as DuckDB writes them */
void os_text_n(os_table *table, const char *column, const char *text, size_t length);
void os_text_f(os_table *table, const char *column, const char *format, ...) __attribute__((format(printf, 3, 4)));
void os_raw(os_table *table, const char *column, const char *json); /* a value that is JSON already */
bool os_row(os_table *table);                     /* ends the row; columns without a value are null */
bool os_row_json(os_table *table, os_json *record); /* a whole row, with all digits of its numbers */
bool os_rows_json(os_table *table, os_json *records);
bool os_rows_text(os_table *table, const char *records, size_t length); /* JSON objects, or arrays of them, separated by white space */
bool os_finish(os_table *table);

/* SQL over the inputs */

bool os_create_sql(os_output *out, const char *name, const char *select, uint64_t *rows);

/* Inputs */

typedef struct os_inputs os_inputs;
typedef struct os_reader os_reader;
typedef struct os_batch os_batch;
typedef struct os_column os_column;

size_t os_input_count(os_inputs *in);
const char *os_alias(os_inputs *in, size_t input);
const char *os_sql_name(os_inputs *in, size_t input);
uint64_t os_input_rows(os_inputs *in, size_t input);
/* Reads columns, named as in "id, name"; NULL or "" reads all. */
os_reader *os_read(os_inputs *in, size_t input, const char *columns);
os_reader *os_query(const char *select);
/* Reads JSON records: os_next_records returns lines, and NULL at the end. */
os_reader *os_read_json(os_inputs *in, size_t input, const char *columns);
os_reader *os_query_json(const char *select);
const char *os_next_records(os_reader *reader, size_t *length);
void os_close(os_reader *reader);

/* Columns */

/* The next batch, or NULL at the end; the previous one is no longer valid. If there is no row, one batch without rows
 * comes first, so that a table gets its columns. */
os_batch *os_next_batch(os_reader *reader);
size_t os_rows(os_batch *batch);
os_column *os_column_of(os_batch *batch, const char *name); /* fails with OS_NOT_FOUND */
bool os_valid(os_column *column, size_t row);
/* Values as native arrays, with a value for each row; where the row is null it means nothing. A number is converted if
 * the type holds all of its values exactly; otherwise OS_DATA. */
const int64_t *os_i64(os_column *column);
const double *os_f64(os_column *column);
const uint8_t *os_bools(os_column *column);
const int32_t *os_days(os_column *column);             /* DATE: days since 1970-01-01 */
const int64_t *os_micros(os_column *column);           /* TIMESTAMP, TIMESTAMPTZ, TIME: microseconds */
const __int128 *os_decimals(os_column *column, int *scale); /* DECIMAL, HUGEINT: unscaled */
const uint8_t *os_uuids(os_column *column);            /* 16 bytes for each row */
typedef struct {
    const char *data; /* not terminated */
    size_t length;
} os_slice;
os_slice os_slice_at(os_column *column, size_t row);   /* VARCHAR, BLOB, JSON */
/* The items of row's list are os_child(column, 0) from *start up to *end. */
bool os_list_at(os_column *column, size_t row, size_t *start, size_t *end);
os_column *os_child(os_column *column, size_t index);
os_column *os_member(os_column *column, const char *name); /* of a STRUCT */

/* A new batch without columns; os_add adds them. Append or drop it. */
os_batch *os_new_batch(size_t rows);
void os_drop_batch(os_batch *batch);
void os_remove(os_batch *batch, const char *name);
/* Adds a column of a DuckDB type, such as "BIGINT", "DECIMAL(18,2)", "VARCHAR[]" or "STRUCT(a BIGINT, b VARCHAR)", or
 * replaces one. Each row needs one os_put_…. */
os_column *os_add(os_batch *batch, const char *name, const char *type);
void os_put_null(os_column *column);
void os_put_i64(os_column *column, int64_t value); /* integers; days of a DATE; microseconds of a TIMESTAMP or TIME */
void os_put_f64(os_column *column, double value);
void os_put_bool(os_column *column, bool value);
void os_put_text(os_column *column, const char *text, size_t length);
void os_put_decimal(os_column *column, __int128 unscaled);
void os_put_uuid(os_column *column, const uint8_t bytes[16]);
/* What was put into os_child(column, 0) since the last call is the row's list. */
void os_put_list(os_column *column);
/* What was put into each os_member is the row's STRUCT. */
void os_put_struct(os_column *column);
/* Appends the batch to a table of the output, which the first batch creates. Drops the batch if it is new. */
bool os_append(os_output *out, const char *table, os_batch *batch);

/* Files */

typedef struct os_file os_file;

os_file *os_open_file(const char *path);
uint64_t os_file_size(os_file *file);
size_t os_read_file(os_file *file, uint64_t offset, void *bytes, size_t length); /* 0 at the end */
os_file *os_create_file(const char *path);
os_file *os_create_temporary(void);
bool os_write_file(os_file *file, const void *bytes, size_t length);
const char *os_sql_literal(os_file *file); /* for DuckDB's readers; not of a file made with os_create_file */
typedef enum { OS_CSV, OS_PARQUET, OS_JSON } os_format;
bool os_copy(os_file *target, const char *select, os_format format, uint64_t *rows);
void os_close_file(os_file *file);

/* TCP; the spec must request `connect` */

typedef struct os_connection os_connection;

os_connection *os_connect(const char *host, uint16_t port, uint32_t timeout_ms);
void os_set_timeout(os_connection *connection, uint32_t timeout_ms);
size_t os_receive(os_connection *connection, void *bytes, size_t length); /* 0 at the end */
bool os_send(os_connection *connection, const void *bytes, size_t length);
bool os_start_tls(os_connection *connection, bool verify);
void os_disconnect(os_connection *connection);

/* HTTP; the spec must request `http` */

typedef struct {
    const char *bearer;  /* a token, or NULL */
    const char *headers; /* more headers, as "name: value\n" lines, or NULL */
    const char *body;    /* NULL for none */
    size_t body_length;
    int retries;         /* after the first attempt; 0 means 3, negative none */
    uint32_t base_ms;    /* the wait before the first retry, doubled for each further one; 0 means 500 */
    uint32_t max_wait_ms; /* the longest wait; 0 means 60,000 */
    uint32_t timeout_ms; /* for the first byte and between bytes; 0 means 30,000 */
    size_t max_bytes;    /* 0 means 64 MiB */
    double per_second;   /* the most requests per second; 0 means no limit */
    bool repeatable;     /* a POST that may be sent twice */
} os_http;

typedef struct {
    int status;
    char *headers; /* "name: value\n" lines, names in lower case */
    char *body;    /* ends with a zero byte */
    size_t length;
} os_response;

/* Sends a request; options may be NULL. A status other than 2xx is an error: OS_AUTH (401), OS_DENIED (403), OS_NOT_FOUND
 * (404), OS_RATE_LIMITED (429), OS_TRANSIENT (408, 425, 5xx), OS_CONFIG (others). Failures that may pass are retried if
 * the method is safe to repeat, after the wait that the server asks for. */
os_response *os_request(const os_http *options, const char *method, const char *url);
void os_free_response(os_response *response);
/* GET, and the response as JSON. */
os_json *os_get_json(const os_http *options, const char *url_format, ...) __attribute__((format(printf, 2, 3)));
/* A header, or NULL; valid until the next call. */
const char *os_header(const os_response *response, const char *name);
/* The address with the relation in the `Link` header, or NULL; valid until the next call. */
const char *os_link(const os_response *response, const char *relation);
/* A token by OAuth 2 client credentials; valid until the step ends. */
const char *os_oauth_token(const char *url, const char *id, const char *secret, const char *scope);
/* A text as a component of a query; valid until the step ends. */
const char *os_encode(const char *text);

/* Catalog, for os_discover */

typedef struct os_catalog os_catalog;

void os_catalog_table(os_catalog *catalog, const char *schema, const char *name); /* schema may be NULL */
void os_catalog_column(os_catalog *catalog, const char *name, const char *source_type, const char *duckdb_type, bool nullable);
void os_catalog_key(os_catalog *catalog, const char *column);
void os_catalog_rows(os_catalog *catalog, uint64_t estimate);

/* Exports */

void *os_run_extractor(bool (*run)(os_json *, os_output *), int32_t output);
void *os_run_processor(bool (*run)(os_json *, os_inputs *, os_output *), int32_t *inputs, size_t count, int32_t output);
void *os_run_writer(bool (*run)(os_json *, os_inputs *), int32_t *inputs, size_t count);
void *os_run_check(const char *(*run)(os_json *));
void *os_run_discover(bool (*run)(os_json *, os_catalog *));

#ifdef __wasm__
#define OS_EXPORT(name) __attribute__((export_name(name)))
#else
#define OS_EXPORT(name)
#endif

#ifdef __cplusplus
#define OS_EXTERN extern "C"
#else
#define OS_EXTERN
#endif

#define OSIRIS_EXTRACTOR(run)                                                                                          \
    OS_EXTERN OS_EXPORT("osiris:driver/extract@0.2.0#run") void *os_export_extract(int32_t output)                     \
    {                                                                                                                  \
        return os_run_extractor(run, output);                                                                          \
    }
#define OSIRIS_PROCESSOR(run)                                                                                          \
    OS_EXTERN OS_EXPORT("osiris:driver/transform@0.2.0#run") void *os_export_transform(int32_t *inputs, size_t count, int32_t output) \
    {                                                                                                                  \
        return os_run_processor(run, inputs, count, output);                                                           \
    }
#define OSIRIS_WRITER(run)                                                                                             \
    OS_EXTERN OS_EXPORT("osiris:driver/load@0.2.0#run") void *os_export_load(int32_t *inputs, size_t count)            \
    {                                                                                                                  \
        return os_run_writer(run, inputs, count);                                                                      \
    }
/* `run` returns the name of the server, or NULL. */
#define OSIRIS_CHECK(run)                                                                                              \
    OS_EXTERN OS_EXPORT("osiris:driver/check@0.2.0#run") void *os_export_check(void) { return os_run_check(run); }
#define OSIRIS_DISCOVER(run)                                                                                           \
    OS_EXTERN OS_EXPORT("osiris:driver/discover@0.2.0#run") void *os_export_discover(void) { return os_run_discover(run); }

#ifdef __cplusplus
}
#endif

#endif
