/* Columns and batches, shared by those who read and those who build them. */
#ifndef OSIRIS_COLUMNS_H
#define OSIRIS_COLUMNS_H

#include "host.h"

/* A column, or a part of a nested one. */
struct os_column {
    text name, format;
    pair *metadata;
    size_t metadata_count;
    uint8_t nullable;
    uint32_t length;
    /* Arrow's buffers: of the host if the column was read, of the column itself if it was built. */
    text buffers[3];
    size_t buffer_count;
    os_column **children;
    size_t child_count;
    os_batch *batch;
    void *converted;
    os_column *replaced;
    /* Building */
    bool built, nulls;
    buffer valid, values, bytes;
};

struct os_batch {
    size_t rows;
    os_column **columns;
    size_t count, room;
    bool is_new;
    arena memory; /* of a new batch's columns, and of conversions */
};

bool is_extension(const os_column *c, const char *name);
bool format_is(const os_column *c, const char *format);
/* What was put since the start as Arrow's buffers. */
bool seal(os_column *c, size_t rows);
void free_column(os_column *c);

#endif
