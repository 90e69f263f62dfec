/* Reads the entries of a key-value server. */
#include <osiris.h>
#include <stdlib.h>
#include <string.h>

/* The longest line that the server may send. */
enum { LONGEST = 1 << 20 };

/* Writes a text as JSON; returns the end. */
static char *quote(char *at, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    *at++ = '"';
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
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

/* Adds the entry in a line; false at the end of the list. */
static bool add(os_table *table, char *line)
{
    if (strcmp(line, ".") == 0)
        return false;
    if (strncmp(line, "ERROR ", 6) == 0)
        return os_fail(OS_OTHER, "the server refused to list its entries: %s", line + 6);
    return os_rows_text(table, line, strlen(line));
}

static bool extract(os_json *config, os_output *out)
{
    os_json *connection = os_require(config, "connection");
    os_table *table = os_create(out, "main", "key VARCHAR, value VARCHAR");
    const char *prefix = os_str(os_get(config, "prefix"));
    os_connection *server =
        os_connect(os_str(os_require(connection, "host")), (uint16_t)os_int_or(os_require(connection, "port"), 0), 30000);
    char *command = malloc(6 * strlen(prefix) + 32), *end = command;
    memcpy(end, "[\"LIST\",", 8);
    end = quote(end + 8, prefix);
    memcpy(end, "]\n", 2);
    os_send(server, command, (size_t)(end + 2 - command));
    free(command);

    char *line = malloc(LONGEST), bytes[4096];
    size_t length = 0;
    bool more = true;
    while (more && !os_failed()) {
        size_t count = os_receive(server, bytes, sizeof bytes);
        if (count == 0)
            os_fail(OS_TRANSIENT, "the server closed the connection before the end of the list");
        for (size_t i = 0; i < count && more; i++) {
            if (length + 1 == LONGEST)
                more = os_fail(OS_DATA, "the server sent a line of more than %d bytes", LONGEST);
            line[length++] = bytes[i] == '\n' ? 0 : bytes[i];
            if (bytes[i] == '\n') {
                more = add(table, line);
                length = 0;
            }
        }
    }
    free(line);
    os_disconnect(server);
    return os_finish(table);
}
OSIRIS_EXTRACTOR(extract)
