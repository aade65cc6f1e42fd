/* A type, a type modifier, modes and a text: the converters stay inside text and room, whatever it
 * says. Input: row of the table (1 byte), modifier (2), modes (2), text. Also read as a column
 * default. */
#include <stdlib.h>
#include <string.h>

#include "config.h"
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

/* Bits of @v as modes; 0 is profile debezium's. */
static struct wf_type_modes modes_of(unsigned v)
{
    struct wf_type_modes m = {
        .profile = (int)(v % 5), .unknown = v % 2 == 0, .lossy = WF_LOSSY_ALLOW};

    m.decimal = (int)(v / 5 % 3);
    m.time = WF_TIME_ADAPTIVE + (int)(v / 15 % 6);
    m.zoned = (int)(v / 90 % 3);
    m.interval = (int)(v / 270 % 3);
    m.binary = (int)(v / 810 % 4);
    m.hstore = v / 3240 % 2 ? WF_HSTORE_MAP : WF_HSTORE_JSON;
    m.money_digits = (int)(v / 6480 % 11);
    return m;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct wf_type_modes modes;
    struct wf_type_in in = {.text_name = "other"};
    struct wf_coltype t;
    char *text, *expr;
    size_t row;

    if (size < 5)
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
    modes = modes_of((unsigned)(data[3] << 8 | data[4]));
    in.modes = &modes;
    in.propagate = data[1] % 2;
    in.field_name = "c";
    wf_type_resolve(&t, &in);
    data += 5;
    size -= 5;
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
