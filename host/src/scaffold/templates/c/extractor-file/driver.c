/* Reads a log file: a time, a level and a message in each line. */
#include <osiris.h>
#include <stdlib.h>
#include <string.h>

/* The longest line. */
enum { LONGEST = 1 << 20 };

static bool event(os_table *table, char *line, int64_t number)
{
    size_t length = strlen(line);
    if (length && line[length - 1] == '\r')
        line[--length] = 0;
    if (length == 0)
        return true;
    char *level = strchr(line, ' '), *message = level ? strchr(level + 1, ' ') : NULL;
    if (!message)
        return os_fail(OS_DATA, "line %lld is not a time, a level and a message", (long long)number);
    *level = *message = 0;
    os_text(table, "at", line);
    os_text(table, "level", level + 1);
    os_text(table, "message", message + 1);
    return os_row(table);
}

static bool extract(os_json *config, os_output *out)
{
    os_table *table = os_create(out, "main", "at TIMESTAMPTZ, level VARCHAR, message VARCHAR");
    os_file *file = os_open_file(os_str(os_require(config, "path")));
    char *line = malloc(LONGEST), bytes[4096];
    size_t length = 0, count;
    uint64_t offset = 0;
    int64_t number = 1;
    for (; (count = os_read_file(file, offset, bytes, sizeof bytes)); offset += count)
        for (size_t i = 0; i < count && !os_failed(); i++) {
            if (length + 1 == LONGEST)
                os_fail(OS_DATA, "line %lld is longer than %d bytes", (long long)number, LONGEST);
            line[length++] = bytes[i] == '\n' ? 0 : bytes[i];
            if (bytes[i] == '\n') {
                event(table, line, number++);
                length = 0;
            }
        }
    line[length] = 0;
    event(table, line, number);
    if (offset != os_file_size(file))
        os_fail(OS_TRANSIENT, "the file ended before its end");
    free(line);
    os_close_file(file);
    return os_finish(table);
}
OSIRIS_EXTRACTOR(extract)
