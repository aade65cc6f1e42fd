/* A number of a type, then a value in its binary form. */
#include <stdlib.h>
#include <string.h>

#include "binary.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static const uint32_t oids[] = {
    16,   17,   18,   20,   21,   22,   23,   25,   26,   27,   30,   600,  601,  602,  603,
    604,  628,  700,  701,  718,  774,  790,  829,  869,  1082, 1083, 1114, 1184, 1186, 1266,
    1562, 1700, 2950, 2970, 3220, 3614, 3615, 3802, 3904, 3906, 3910, 4451, 4532, 5038, 5069};
static const char *const names[] = {"hstore", "cube", "vector", "halfvec", "sparsevec", "geometry"};

#define NOIDS (sizeof(oids) / sizeof(oids[0]))
#define NNAMES (sizeof(names) / sizeof(names[0]))

/* An array of composites with an array in them comes behind the plain ones. */
static struct wf_binary *type_of(unsigned char n)
{
    static const struct wf_type_in leaf = {.oid = 25, .kind = 'b', .delim = ','};
    static const struct wf_type_in fields[] = {
        {.oid = 23, .kind = 'b'},
        {.oid = 1009, .kind = 'a', .sub = &leaf, .nsub = 1},
        {.oid = 1700, .kind = 'b', .domain = true},
    };
    static const struct wf_type_in record = {
        .oid = 16400, .kind = 'c', .sub = fields, .nsub = 3, .delim = ','};
    struct wf_type_in in = {.kind = 'b'};

    if (n < NOIDS)
        in.oid = oids[n];
    else if (n < NOIDS + NNAMES)
        in = (struct wf_type_in){.oid = 16401, .name = names[n - NOIDS], .kind = 'b'};
    else
        in = (struct wf_type_in){.oid = 16402, .kind = 'a', .sub = &record, .nsub = 1};
    return wf_binary_new(&in);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct wf_binary *b;
    struct wf_buf out;
    char *exact;

    if (!size)
        return 0;
    b = type_of(*data % (NOIDS + NNAMES + 1));
    exact = malloc(size);
    memcpy(exact, data + 1, size - 1);
    exact = realloc(exact, size > 1 ? size - 1 : 1);
    wf_buf_init(&out, 1 << 20);
    if (!b)
        abort();
    wf_binary_to_text(b, exact, size - 1, &out);
    wf_buf_deinit(&out);
    wf_binary_free(b);
    free(exact);
    return 0;
}
