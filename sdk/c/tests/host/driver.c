/* A driver for the tests that uses state, secrets, files and a connection. */
#include <osiris.h>
#include <stdio.h>
#include <string.h>

static os_table *table;

static void add(const char *name, const char *value)
{
    os_text(table, "name", name);
    os_text(table, "value", value);
    os_row(table);
}

static void files(os_json *config, os_output *out)
{
    char content[64] = "", text[128];
    uint64_t rows = 0;
    os_file *source = os_open_file(os_str(os_get(config, "in")));
    os_read_file(source, 0, content, (size_t)os_file_size(source));
    snprintf(text, sizeof text, "1%s", content);
    add("file", text);
    os_file *temporary = os_create_temporary();
    os_write_file(temporary, "a,b\n1,2\n", 8);
    snprintf(text, sizeof text, "from read_csv(%s)", os_sql_literal(temporary));
    os_create_sql(out, "csv", text, &rows);
    snprintf(text, sizeof text, "%d", (int)rows);
    add("temporary", text);
    os_close_file(temporary);
    os_close_file(source);
    os_file *target = os_create_file(os_str(os_get(config, "out")));
    os_write_file(target, "written", 7);
    os_close_file(target);
    if (!os_failed()) {
        os_open_file("elsewhere");
        bool denied = os_failed() && os_failed()->kind == OS_DENIED;
        os_recover();
        add("denied", denied ? "denied" : "other");
    }
}

static void connect(os_json *config)
{
    char line[16] = "", text[64];
    const char *host = os_str(os_get(config, "host"));
    os_connection *c = os_connect(host, (uint16_t)os_int_or(os_get(config, "port"), 0), 5000);
    os_set_timeout(c, 5000);
    os_send(c, "ping\n", 5);
    for (size_t length = 0, n; length < 5 && (n = os_receive(c, line + length, 15 - length)); length += n)
        ;
    snprintf(text, sizeof text, "%s%s", line, os_receive(c, text, 1) == 0 ? "true" : "false");
    add("tcp", text);
    os_disconnect(c);
    if (!os_failed()) {
        os_connect(host, 1, 1000);
        bool denied = os_failed() && os_failed()->kind == OS_DENIED;
        os_recover();
        add("other port", denied ? "denied" : "other");
    }
}

static bool extract(os_json *config, os_output *out)
{
    char text[128];
    uint32_t index, count;
    os_json *state = os_state();
    int64_t last = os_int_or(state, 0);
    table = os_create(out, "main", "name VARCHAR, value VARCHAR");
    snprintf(text, sizeof text, "%d %s", (int)last, state ? "true" : "false");
    add("state", text);
    os_free(state);
    os_set_state("%d", (int)last + 1);
    const char *secret = os_secret("login.password");
    snprintf(text, sizeof text, "%d %s 1", (int)strlen(secret ? secret : ""), os_secret("/nothing") ? "true" : "false");
    add("secrets", text);
    os_partition(&index, &count);
    snprintf(text, sizeof text, "%s%u %u %u", os_step_id(), (unsigned)os_attempt(), (unsigned)index, (unsigned)count);
    add("step", text);
    os_reject("{\"Name\":\"name\",\"Value\":\"value\"}", 31, "too %s", "odd");
    os_metric("requests_sent", 2.5);
    os_progress(1, 2);
    files(config, out);
    connect(config);
    return os_finish(table);
}
OSIRIS_EXTRACTOR(extract)
