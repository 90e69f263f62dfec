/* What the driver does, natively: `native columns FOLDER` from Arrow's buffers, `native records IN OUT` from JSON lines, with the
 * JSON parser of the SDK. Prints milliseconds. */
#include <osiris.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *read_file(const char *folder, const char *name, size_t *length)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    void *bytes = malloc(*length + 1);
    *length = fread(bytes, 1, *length, file);
    fclose(file);
    return bytes;
}

static void columns(const char *folder)
{
    char path[4096];
    size_t length, ignored;
    int64_t *a = read_file(folder, "a.bin", &length), *b = read_file(folder, "b.bin", &ignored);
    int32_t *o = read_file(folder, "o.bin", &ignored);
    int64_t *c = malloc(length);
    for (size_t i = 0; i < length / 8; i++)
        c[i] = a[i] + b[i] + (o[i + 1] - o[i]);
    snprintf(path, sizeof path, "%s/c.bin", folder);
    FILE *file = fopen(path, "wb");
    fwrite(c, 1, length, file);
    fclose(file);
}

static void records(const char *source, const char *target)
{
    FILE *in = fopen(source, "r"), *out = fopen(target, "w");
    char *line = NULL;
    size_t room = 0;
    for (ssize_t length; (length = getline(&line, &room, in)) > 0;) {
        os_json *row = os_parse(line, (size_t)length, OS_DATA);
        int64_t a = os_int_or(os_get(row, "a"), 0), b = os_int_or(os_get(row, "b"), 0);
        const char *s = os_str(os_get(row, "s"));
        fprintf(out, "{\"a\":%lld,\"b\":%lld,\"s\":\"%s\",\"c\":%lld}\n", (long long)a, (long long)b, s, (long long)(a + b + (int64_t)strlen(s)));
        os_free(row);
    }
    fclose(in);
    fclose(out);
}

int main(int count, char **parts)
{
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    if (count == 3)
        columns(parts[2]);
    else
        records(parts[2], parts[3]);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%.1f\n", (double)(ended.tv_sec - begun.tv_sec) * 1e3 + (double)(ended.tv_nsec - begun.tv_nsec) / 1e6);
    return 0;
}
