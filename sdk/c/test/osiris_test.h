/* A host in memory, so that a driver in C can be tested natively: link src and test with the driver's source and a main.
 *
 *     os_test_reset();
 *     os_test_config("{\"names\": [\"Ada\"]}");
 *     const os_error *error = os_test_extract(extract);
 *     assert(!error && strcmp(os_test_records("main"), "{\"greeting\":\"hello Ada\"}\n") == 0);
 *
 * It grants everything, and runs no SQL: a query reads the table that os_test_query names. */
#ifndef OSIRIS_TEST_H
#define OSIRIS_TEST_H

#include "../osiris.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Forgets everything but the tables of the last run, which os_test_input can use. */
void os_test_reset(void);
void os_test_config(const char *json);
void os_test_secret(const char *pointer, const char *value);
void os_test_state(const char *json);
void os_test_file(const char *path, const char *content);
/* Makes a table of the last run an input of the next one. */
void os_test_input(const char *table);
/* The table of the last run that every query reads. */
void os_test_query(const char *table);
/* Responds to each request: returns the status, and sets headers ("name: value\n" lines) and a body, both static. 0 is a
 * broken connection. */
void os_test_http(int (*respond)(const char *method, const char *url, const char *headers, const char *body,
                                 const char **response_headers, const char **response_body));

const os_error *os_test_extract(bool (*run)(os_json *, os_output *));
const os_error *os_test_transform(bool (*run)(os_json *, os_inputs *, os_output *));
const os_error *os_test_load(bool (*run)(os_json *, os_inputs *));

const char *os_test_records(const char *table);  /* JSON lines of a table of rows; NULL if there is none */
const char *os_test_columns(const char *table);  /* "name format, …" of a table of batches, or the declared types */
size_t os_test_columns_read(void);              /* how many columns the last read named; 0 for all */
bool os_test_finished(const char *table);
const char *os_test_sql(const char *table);      /* the SELECT that made it */
const char *os_test_rejected(void);              /* each row and its reason in a line */
const char *os_test_stored_state(void);
const char *os_test_written(const char *path);   /* what was written to a file */
const char *os_test_log(void);                   /* all lines */
uint64_t os_test_waited_ms(void);                /* by retries, which do not really wait */

#ifdef __cplusplus
}
#endif

#endif
