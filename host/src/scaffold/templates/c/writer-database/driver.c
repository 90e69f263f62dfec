/* Sets an entry of a key-value server for each row. */
#include <osiris.h>
#include <stdlib.h>
#include <string.h>

/* Writes a text as JSON; returns the end. */
static char *quote(char *at, const char *text, size_t length)
{
    static const char hex[] = "0123456789abcdef";
    *at++ = '"';
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            *at++ = '\\';
        if (c < 0x20) {
            memcpy(at, "\\u00", 4);
            at[4] = hex[c >> 4];
            at[5] = hex[c & 15];
            at += 6;
        } else {
            *at++ = (char)c;
        }
    }
    *at++ = '"';
    return at;
}

static char *value_of(char *at, os_column *column, size_t row)
{
    if (os_valid(column, row)) {
        os_slice text = os_slice_at(column, row);
        return quote(at, text.data, text.length);
    }
    memcpy(at, "null", 4);
    return at + 4;
}

/* Sends a command, and checks the answer. */
static bool set(os_connection *server, os_column *key, os_column *value, size_t row, uint64_t number)
{
    char *command = malloc(6 * (os_slice_at(key, row).length + os_slice_at(value, row).length) + 64), *end = command;
    memcpy(end, "[\"SET\",", 7);
    end = value_of(end + 7, key, row);
    *end++ = ',';
    end = value_of(end, value, row);
    memcpy(end, "]\n", 2);
    os_send(server, command, (size_t)(end + 2 - command));
    free(command);

    char answer[256];
    size_t length = 0;
    while (!os_failed() && length < sizeof answer - 1) {
        size_t count = os_receive(server, answer + length, sizeof answer - 1 - length);
        length += count;
        if (count == 0)
            return os_fail(OS_TRANSIENT, "the server closed the connection");
        if (answer[length - 1] == '\n')
            break;
    }
    answer[length] = 0;
    if (!os_failed() && strcmp(answer, "OK\n") != 0) {
        answer[strcspn(answer, "\n")] = 0;
        const char *reason = strncmp(answer, "ERROR ", 6) == 0 ? answer + 6 : answer;
        os_fail(OS_DATA, "the server refused row %llu: %s", (unsigned long long)number, reason);
    }
    return !os_failed();
}

static bool load(os_json *config, os_inputs *in)
{
    os_json *connection = os_require(config, "connection");
    const char *key = os_str_or(os_get(config, "key"), "key"), *value = os_str_or(os_get(config, "value"), "value");
    os_connection *server =
        os_connect(os_str(os_require(connection, "host")), (uint16_t)os_int_or(os_require(connection, "port"), 0), 30000);
    os_reader *reader = os_read(in, 0, NULL);
    uint64_t number = 0;
    for (os_batch *batch; (batch = os_next_batch(reader));) {
        os_column *keys = os_column_of(batch, key), *values = os_column_of(batch, value);
        for (size_t row = 0; row < os_rows(batch) && !os_failed(); row++)
            set(server, keys, values, row, ++number);
    }
    os_close(reader);
    os_disconnect(server);
    return !os_failed();
}
OSIRIS_WRITER(load)
