/* Tests of the SDK against the host in memory. */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "../test/osiris_test.h"

static void expect(const char *found, const char *wanted, int line)
{
    if (found && strstr(found, wanted))
        return;
    fprintf(stderr, "line %d: found   %s\n         instead of %s\n", line, found ? found : "(nothing)", wanted);
    assert(false);
}
#define EXPECT(found, wanted) expect(found, wanted, __LINE__)

static void json_is_parsed_and_written_unchanged(void)
{
    static const struct {
        const char *text, *wrong;
    } cases[] = {
        {"{\"a\":[1,-2.50e+10,true,false,null,\"x\\\"\\\\\\u0000\xc5\xbe\"],\"b\":{}}", NULL},
        {"", "a value is missing"}, {"[1,]", "a value is missing"}, {"[1 2]", "a comma is missing"}, {"{\"a\" 1}", "a colon"},
        {"{a:1}", "no name"}, {"\"x", "does not end"}, {"\"\\", "does not end"}, {"\"\\x\"", "wrong escape"},
        {"\"\\u12g4\"", "wrong escape"}, {"01", "malformed"}, {"1.", "malformed"}, {"-", "malformed"}, {"1e", "malformed"},
        {"1 2", "something follows"}, {"nul", "a value is missing"}, {"\"\x01\"", "control character"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        os_recover();
        os_json *v = os_parse(cases[i].text, strlen(cases[i].text), OS_DATA);
        assert((v == NULL) == (cases[i].wrong != NULL));
        if (cases[i].wrong)
            EXPECT(os_failed()->message, cases[i].wrong);
        os_free(v);
    }
    os_recover();
    char deep[2000];
    memset(deep, '[', sizeof deep);
    assert(!os_parse(deep, sizeof deep, OS_DATA));
    EXPECT(os_failed()->message, "nested too deeply");
    os_recover();
    const char *text = "{\"s\":\"\\ud83d\\ude00\\ud800\",\"i\":-9223372036854775808,\"j\":9223372036854775808,\"f\":1.5,\"n\":null}";
    os_json *v = os_parse(text, strlen(text), OS_DATA);
    assert(strcmp(os_str(os_get(v, "s")), "\xf0\x9f\x98\x80\xef\xbf\xbd") == 0);
    assert(os_int_or(os_get(v, "i"), 0) == INT64_MIN && os_int_or(os_get(v, "j"), 7) == 7 && os_int_or(os_get(v, "f"), 7) == 7);
    assert(os_real_or(os_get(v, "f"), 0) == 1.5 && !os_get(v, "n") && os_count(v) == 5);
    os_free(v);
}

static bool rows(os_json *config, os_output *out)
{
    os_table *t = os_create(out, "main", "id BIGINT, amount DECIMAL(18,2),at TIMESTAMPTZ");
    os_int(t, "id", -1);
    os_text_f(t, "name", "%s \"%d\"\n", os_str(os_get(config, "who")), 5);
    os_real(t, "r", 0.1);
    os_real(t, "inf", -1.0 / 0.0);
    os_bool(t, "b", true);
    os_raw(t, "tags", "[1]");
    os_row(t);
    os_row(t);
    os_row_json(t, config);
    return true; /* tables that are not finished are complete */
}

static bool fails(os_json *config, os_output *out)
{
    os_require(config, "missing");
    os_fail(OS_AUTH, "a second error");
    os_table *t = os_create(out, "x", "id");
    return os_finish(t);
}

static bool silent(os_json *config, os_output *out)
{
    (void)config, (void)out;
    return false;
}

static void rows_are_json_and_the_first_error_counts(void)
{
    os_test_reset();
    os_test_config("{\"who\":\"\xc5\xbe\"}");
    assert(!os_test_extract(rows));
    EXPECT(os_test_columns("main"), "id BIGINT, amount DECIMAL(18,2), at TIMESTAMPTZ");
    EXPECT(os_test_records("main"),
           "{\"id\":-1,\"name\":\"\xc5\xbe \\\"5\\\"\\u000a\",\"r\":0.10000000000000001,\"inf\":\"-Infinity\",\"b\":true,\"tags\":[1]}\n{}\n"
           "{\"who\":\"\xc5\xbe\"}\n");
    assert(os_test_finished("main"));
    const os_error *e = os_test_extract(fails);
    assert(e && e->kind == OS_CONFIG);
    EXPECT(e->message, "the config has no `missing`");
    e = os_test_extract(silent);
    assert(e && e->kind == OS_INTERNAL);
    os_test_config("{");
    e = os_test_extract(rows);
    assert(e && e->kind == OS_CONFIG);
}

static const char *wrong_text;

static bool wrong_utf8(os_json *config, os_output *out)
{
    (void)config;
    os_table *t = os_create(out, "main", NULL);
    os_text(t, "a", wrong_text);
    os_row(t);
    return os_finish(t);
}

static bool wrong_message(os_json *config, os_output *out)
{
    (void)config, (void)out;
    os_log(OS_INFO, "logged %s", wrong_text);
    return os_fail(OS_DATA, "failed %s", wrong_text);
}

static void texts_that_are_not_utf8_are_refused_or_mended(void)
{
    static const char *const wrong[] = {"\xff", "\xc5", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82z", "\x80"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        wrong_text = wrong[i];
        os_test_reset();
        const os_error *e = os_test_extract(wrong_utf8);
        assert(e && e->kind == OS_DATA);
        EXPECT(e->message, "a record is not UTF-8");
    }
    wrong_text = "\xc5\xbe\xf0\x9f\x98\x80\xff\xc5";
    os_test_reset();
    EXPECT(os_test_extract(wrong_message)->message, "failed \xc5\xbe\xf0\x9f\x98\x80??");
    EXPECT(os_test_log(), "logged \xc5\xbe\xf0\x9f\x98\x80??");
}

/* Two batches: one with all types, and one where all is null. */
static bool every_type(os_json *config, os_output *out)
{
    (void)config;
    for (int n = 0; n < 2; n++) {
        os_batch *b = os_new_batch(9);
        os_column *i = os_add(b, "i", "INTEGER"), *l = os_add(b, "l", "BIGINT"), *f = os_add(b, "f", "double");
        os_column *t = os_add(b, "t", "VARCHAR"), *z = os_add(b, "z", "BLOB"), *o = os_add(b, "o", "BOOLEAN");
        os_column *d = os_add(b, "d", "DECIMAL(38,2)"), *u = os_add(b, "u", "UUID"), *day = os_add(b, "day", "DATE");
        os_column *at = os_add(b, "at", "TIMESTAMPTZ"), *many = os_add(b, "many", "STRUCT(a BIGINT, b VARCHAR[])[]");
        for (int r = 0; r < 9; r++) {
            os_column *all[] = {i, l, f, t, z, o, d, u, day, at, many};
            if (n == 1 || r == 4) {
                for (int k = 0; k < 11; k++)
                    os_put_null(all[k]);
                continue;
            }
            os_put_i64(i, -r), os_put_i64(l, INT64_MIN), os_put_f64(f, r / 2.0), os_put_text(t, "abcdefghi", (size_t)r);
            os_put_text(z, "\0\xff", 2), os_put_bool(o, r & 1), os_put_decimal(d, -((__int128)1 << 100)), os_put_i64(day, r);
            os_put_uuid(u, (const uint8_t *)"0123456789abcdef"), os_put_i64(at, r);
            for (int k = 0; k < r % 3; k++) {
                os_column *s = os_child(many, 0), *bs = os_member(s, "b");
                os_put_i64(os_member(s, "a"), k);
                os_put_text(os_child(bs, 0), "x", 1);
                os_put_null(os_child(bs, 0));
                os_put_list(bs);
                os_put_struct(s);
            }
            os_put_list(many);
        }
        os_append(out, "main", b);
    }
    return !os_failed();
}

/* Checks the first batch value by value, replaces a column and passes the others on. */
static bool read_again(os_json *config, os_inputs *in, os_output *out)
{
    (void)config;
    os_reader *reader = os_read(in, 0, NULL);
    size_t total = 0;
    for (os_batch *b; (b = os_next_batch(reader)); total++) {
        os_column *i = os_column_of(b, "i"), *t = os_column_of(b, "t"), *many = os_column_of(b, "many");
        const int64_t *wide = os_i64(i), *at = os_micros(os_column_of(b, "at"));
        const double *f = os_f64(os_column_of(b, "f")), *converted = os_f64(i);
        const uint8_t *o = os_bools(os_column_of(b, "o")), *u = os_uuids(os_column_of(b, "u"));
        const int32_t *day = os_days(os_column_of(b, "day"));
        int scale;
        const __int128 *d = os_decimals(os_column_of(b, "d"), &scale);
        os_column *a = os_member(os_child(many, 0), "a"), *bs = os_member(os_child(many, 0), "b");
        const int64_t *as = os_i64(a);
        os_column *doubled = os_add(b, "i", "BIGINT");
        for (size_t r = 0, start, end; r < os_rows(b); r++) {
            if (total == 1 || r == 4) {
                assert(!os_valid(i, r) && !os_valid(t, r) && !os_list_at(many, r, &start, &end));
                os_put_null(doubled);
                continue;
            }
            assert(wide[r] == -(int64_t)r && converted[r] == -(double)r && at[r] == (int64_t)r && f[r] == (double)r / 2);
            assert(o[r] == (r & 1) && day[r] == (int32_t)r && scale == 2 && d[r] == -((__int128)1 << 100));
            assert(memcmp(u + 16 * r, "0123456789abcdef", 16) == 0);
            os_slice s = os_slice_at(t, r);
            assert(s.length == r && memcmp(s.data, "abcdefghi", r) == 0);
            assert(os_list_at(many, r, &start, &end) && end - start == r % 3);
            for (size_t k = start, from, to; k < end; k++) {
                assert(as[k] == (int64_t)(k - start) && os_list_at(bs, k, &from, &to) && to - from == 2);
                assert(os_valid(os_child(bs, 0), from) && !os_valid(os_child(bs, 0), from + 1));
            }
            os_put_i64(doubled, 2 * wide[r]);
        }
        os_remove(b, "z");
        os_append(out, "main", b);
    }
    os_close(reader);
    return total == 2;
}

static bool empty(os_json *config, os_output *out)
{
    (void)config;
    os_batch *b = os_new_batch(0);
    os_add(b, "i", "INTEGER");
    os_add(b, "tags", "VARCHAR[]");
    return os_append(out, "main", b);
}

static bool pass(os_json *config, os_inputs *in, os_output *out)
{
    (void)config;
    os_reader *reader = os_read(in, 0, "");
    for (os_batch *b; (b = os_next_batch(reader));)
        os_append(out, "main", b);
    os_close(reader);
    return !os_failed();
}

static void columns_of_every_type_are_built_and_read(void)
{
    os_test_reset();
    assert(!os_test_extract(every_type));
    os_test_input("main");
    assert(!os_test_transform(read_again));
    EXPECT(os_test_columns("main"), "i l, l l, f g, t u, o c, d d:38,2, u w:16, day tdD, at tsu:UTC, many +l, l +s, a l, b +l, l u");
    os_test_reset();
    assert(!os_test_extract(empty));
    os_test_input("main");
    assert(!os_test_transform(pass) && os_test_finished("main"));
    EXPECT(os_test_columns("main"), "i i, tags +l, l u");
}

static int mistake;

static bool mistakes(os_json *config, os_inputs *in, os_output *out)
{
    (void)config;
    os_batch *b = os_new_batch(1), *first = os_next_batch(os_read(in, 0, NULL));
    switch (mistake) {
    case 0: os_column_of(first, "nope"); break;
    case 1: os_slice_at(os_column_of(first, "i"), 0); break;
    case 2: os_put_i64(os_add(b, "x", "TINYINT"), 128); break;
    case 3: os_put_i64(os_add(b, "x", "UINTEGER"), -1); break;
    case 4: os_put_text(os_add(b, "x", "BIGINT"), "a", 1); break;
    case 5: os_put_decimal(os_add(b, "x", "DECIMAL(4,2)"), 10000); break;
    case 6: os_add(b, "x", "DECIMAL(39,2)"); break;
    case 7: os_add(b, "x", "STRUCT(a BIGINT"); break;
    case 8: os_add(b, "x", "BIGINT"); os_append(out, "main", b); break;
    case 9: os_f64(os_column_of(first, "l")); break;
    case 10: os_read(in, 3, NULL); break;
    }
    return true;
}

static void mistakes_are_named(void)
{
    static const char *const wanted[] = {
        "there is no column `nope`; there are `i`, `l`, `f`", "column `i` has Arrow format `i`, which cannot be read as text",
        "column `x`, row 0 of the batch: 128 does not fit", "column `x`, row 0 of the batch: -1 does not fit",
        "column `x` of Arrow format `l` does not take a text", "the value has more than 4 digits", "`DECIMAL(39,2)` is not a type",
        "`STRUCT(a BIGINT` is not a type", "column `x` has 0 values, but 1 are needed", NULL,
        "the step has 1 inputs, but its driver needs input 4",
    };
    for (mistake = 0; mistake < 11; mistake++) {
        os_test_reset();
        os_test_extract(every_type);
        os_test_input("main");
        const os_error *e = os_test_transform(mistakes);
        if (wanted[mistake])
            EXPECT(e ? e->message : NULL, wanted[mistake]);
        else
            assert(!e); /* the lowest int64 is a double */
    }
}

static int requests;

static int respond(const char *method, const char *url, const char *headers, const char *body, const char **to, const char **answer)
{
    requests++;
    if (strstr(url, "/token")) {
        assert(strcmp(method, "POST") == 0 && strstr(headers, "Basic bWU6cCUyQnc=") && strstr(body, "client_credentials&scope=a%20b"));
        *answer = "{\"access_token\":\"tok\"}";
        return 200;
    }
    if (strstr(url, "/slow")) {
        *to = requests == 1 ? "retry-after: 7\n" : "";
        return requests == 1 ? 429 : 200;
    }
    if (strstr(url, "/later")) {
        *to = "date: Tue, 14 Nov 2023 23:59:58 GMT\nretry-after: Wed, 15 Nov 2023 00:00:03 GMT\n";
        return requests == 1 ? 403 : 200;
    }
    if (strstr(url, "/reset")) {
        *to = "date: Tue, 14 Nov 2023 22:13:20 GMT\nx-ratelimit-remaining: 0\nx-ratelimit-reset: 1700000007\n";
        return requests == 1 ? 403 : 200;
    }
    if (strstr(url, "/never-a-number")) {
        *to = "retry-after: NaN\n";
        return 403;
    }
    if (strstr(url, "/left")) {
        *to = "date: Tue, 14 Nov 2023 22:13:20 GMT\nx-ratelimit-remaining: 12\nx-ratelimit-reset: 1700000007\n";
        return 403;
    }
    if (strstr(url, "/limited")) {
        *to = "retry-after: 3600\n";
        return 403;
    }
    if (strstr(url, "/never")) {
        *to = "retry-after: 3600\n";
        return 503;
    }
    if (strstr(url, "/broken"))
        return 0;
    if (strstr(url, "/big")) {
        *answer = "1234567890";
        return 200;
    }
    int status;
    if (sscanf(strrchr(url, '/'), "/status%d", &status) == 1) {
        *answer = "a\n reason";
        return status;
    }
    assert(strstr(headers, "authorization: Bearer tok\n"));
    *to = "link: </b>; title=\"a, rel=next\"; rel=last, </c?d=1,2>; rel=\"prev next\"\n";
    *answer = "{\"ok\":true}";
    return 200;
}

static const char *target;
static const char *verb = "GET";

static bool call(os_json *config, os_output *out)
{
    (void)config, (void)out;
    os_http options = {.retries = 2, .max_bytes = 9};
    os_response *r = os_request(&options, verb, target);
    os_free_response(r);
    return r != NULL;
}

static bool log_in(os_json *config, os_output *out)
{
    (void)config, (void)out;
    os_http options = {.bearer = os_oauth_token("http://x/token", "me", "p+w", "a b")};
    os_response *r = os_request(&options, "GET", "http://x/data");
    EXPECT(os_link(r, "next"), "/c?d=1,2");
    assert(!os_link(r, "first") && !os_header(r, "nope"));
    os_free_response(r);
    os_json *answer = os_get_json(&options, "http://x/%s", "data");
    return os_bool_or(os_get(answer, "ok"), false);
}

static void http_statuses_waits_and_logins(void)
{
    static const struct {
        const char *verb, *url;
        int requests, kind; /* -1 is success */
        int waited; /* at least, in seconds */
        const char *message;
    } cases[] = {
        {"GET", "http://x/status401", 1, OS_AUTH, 0, "`GET http://x/status401` answered 401: a reason"},
        {"GET", "http://x/status403?secret=1", 1, OS_DENIED, 0, "`GET http://x/status403?secret=1` returned"},
        {"GET", "http://x/status404", 1, OS_NOT_FOUND, 0, "404"}, {"GET", "http://x/status400", 1, OS_CONFIG, 0, "400"},
        {"GET", "http://x/status429", 3, OS_RATE_LIMITED, 0, "429"}, {"GET", "http://x/status500", 3, OS_TRANSIENT, 0, "500"},
        {"POST", "http://x/status500", 1, OS_TRANSIENT, 0, "500"}, {"GET", "http://x/broken?secret=1", 3, OS_TRANSIENT, 0,
         "`GET http://x/broken` failed: the connection broke"},
        {"GET", "http://x/slow", 2, -1, 7, NULL}, {"GET", "http://x/later", 2, -1, 5, NULL},
        {"GET", "http://x/never", 1, OS_TRANSIENT, 0, "and asks to wait 3600 s"},
        {"GET", "http://x/limited", 1, OS_RATE_LIMITED, 0, "and asks to wait 3600 s"},
        {"GET", "http://x/reset", 2, -1, 7, NULL}, {"GET", "http://x/left", 1, OS_DENIED, 0, "answered 403"},
        {"GET", "http://x/never-a-number", 1, OS_DENIED, 0, "answered 403"},
        {"GET", "http://x/big", 1, OS_DATA, 0, "larger than it may be"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        os_test_reset();
        os_test_http(respond);
        requests = 0;
        target = cases[i].url;
        verb = cases[i].verb;
        const os_error *e = os_test_extract(call);
        if (i == 1) /* the query may hold a secret */
            assert(e && !strstr(e->message, "secret"));
        else if (cases[i].message)
            EXPECT(e ? e->message : NULL, cases[i].message);
        assert((e ? (int)e->kind : -1) == cases[i].kind && requests == cases[i].requests);
        assert(os_test_waited_ms() >= (uint64_t)cases[i].waited * 1000);
    }
    os_test_reset();
    os_test_http(respond);
    assert(!os_test_extract(log_in));
}

static bool rest_of_it(os_json *config, os_inputs *in, os_output *out)
{
    (void)config;
    size_t length;
    char three[4] = "";
    os_json *state = os_state();
    os_reader *reader = os_read_json(in, 0, "");
    os_table *t = os_create(out, "main", NULL);
    for (const char *lines; (lines = os_next_records(reader, &length));)
        os_rows_text(t, lines, length);
    os_close(reader);
    os_file *file = os_open_file("in.txt"), *to = os_create_file("out.txt");
    assert(os_read_file(file, 1, three, 3) == 3 && os_file_size(file) == 5);
    os_write_file(to, three, 3);
    os_write_file(to, os_secret("/token"), 2);
    os_close_file(file), os_close_file(to);
    assert(os_reject("{\"id\":7}", 8, "%s odd", "too"));
    os_create_sql(out, "counted", "select count(*) from x", NULL);
    os_set_state("{\"last\":%d}", (int)os_int_or(os_get(state, "last"), 0) + 1);
    os_free(state);
    assert(!os_secret("/nothing") && os_attempt() == 1);
    os_open_file("nowhere");
    assert(os_failed()->kind == OS_NOT_FOUND);
    os_recover();
    return true;
}

static void records_files_sql_and_state(void)
{
    os_test_reset();
    os_test_extract(rows);
    os_test_reset();
    os_test_input("main");
    os_test_state("{\"last\":4}");
    os_test_secret("/token", "pw");
    os_test_file("in.txt", "abcde");
    assert(!os_test_transform(rest_of_it));
    EXPECT(os_test_records("main"), "\"id\":-1");
    assert(strcmp(os_test_rejected(), "{\"id\":7} too odd\n") == 0);
    assert(strcmp(os_test_written("out.txt"), "bcdpw") == 0 && strcmp(os_test_stored_state(), "{\"last\":5}") == 0);
    EXPECT(os_test_sql("counted"), "select count(*) from x");
}

enum { MANY = 600 };

/* "c0 BIGINT, c1 BIGINT, …", or without the types. */
static const char *many(const char *type)
{
    static char list[MANY * 16];
    size_t length = 0;
    for (int i = 0; i < MANY; i++)
        length += (size_t)snprintf(list + length, sizeof list - length, "%sc%d%s", i ? ", " : "", i, type);
    return list;
}

static bool declare_many(os_json *config, os_output *out)
{
    (void)config;
    return os_finish(os_create(out, "main", many(" BIGINT")));
}

static bool read_many(os_json *config, os_inputs *in, os_output *out)
{
    (void)config, (void)out;
    os_close(os_read_json(in, 0, many("")));
    return os_read(in, 0, many("")) != NULL;
}

static void every_column_is_declared_and_read(void)
{
    os_test_reset();
    assert(!os_test_extract(declare_many));
    assert(strstr(os_test_columns("main"), "c0 BIGINT, ") && strstr(os_test_columns("main"), ", c599 BIGINT"));
    os_test_input("main");
    os_test_transform(read_many);
    assert(os_test_columns_read() == MANY);
}

int main(void)
{
    json_is_parsed_and_written_unchanged();
    rows_are_json_and_the_first_error_counts();
    texts_that_are_not_utf8_are_refused_or_mended();
    columns_of_every_type_are_built_and_read();
    mistakes_are_named();
    http_statuses_waits_and_logins();
    records_files_sql_and_state();
    every_column_is_declared_and_read();
    puts("ok");
    return 0;
}
