/* A type, a type modifier and a text: the converters stay inside text and room, whatever it says.
 * Input: row of the table (1 byte), modifier (2 bytes), text. Also read as a column default. */
#include <stdlib.h>
#include <string.h>

#include "types.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void convert(const struct wf_coltype *t, const char *text, size_t n)
{
    size_t room = t->room + n * t->room_per_byte;
    unsigned char *out = malloc(room), *end;
    enum wf_conv_why why;

    if (!out)
        abort();
    end = t->conv(t, text, n, out, &why);
    if (end && (size_t)(end - out) > room)
        abort();
    free(out);
}

static void read_default(const struct wf_coltype *t, const char *expr)
{
    struct wf_buf avro, json;

    wf_buf_init(&avro, 1u << 20);
    wf_buf_init(&json, 1u << 20);
    wf_type_default(t, expr, &avro, &json);
    wf_buf_deinit(&avro);
    wf_buf_deinit(&json);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct wf_type_in in = {.text_name = "other"};
    struct wf_coltype t;
    char *text, *expr;
    size_t row;

    if (size < 3)
        return 0;
    row = data[0] % (wf_ntypes + 2);
    in.typmod = (int16_t)(data[1] << 8 | data[2]);
    if (row < wf_ntypes) {
        in.oid = wf_types[row].oid;
        in.name = wf_types[row].name;
        in.typmod = in.oid == 1700 ? in.typmod * 256 : in.typmod;
    } else if (row == wf_ntypes) {
        in.enum_labels = "a,b";
    }
    wf_type_resolve(&t, &in);
    data += 3;
    size -= 3;
    text = malloc(size ? size : 1);
    expr = malloc(size + 1);
    if (!text || !expr)
        abort();
    if (size) {
        memcpy(text, data, size);
        memcpy(expr, data, size);
    }
    expr[size] = '\0';
    convert(&t, text, size);
    read_default(&t, expr);
    wf_type_free(&t);
    free(text);
    free(expr);
    return 0;
}
