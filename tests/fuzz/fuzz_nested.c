/* Texts of arrays, composites, geometry and maps: the converters stay inside text and room.
 * Input: which type (1 byte), text. */
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "types.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static const struct wf_type_in text = {.oid = 25, .typmod = -1, .kind = 'b', .field_name = "t"};
static const struct wf_type_in number = {.oid = 23, .typmod = -1, .kind = 'b', .field_name = "n"};
static const struct wf_type_in texts = {
    .kind = 'a', .typmod = -1, .sub = &text, .nsub = 1, .field_name = "a"};

/* By number: arrays of each row, then what is made of them. */
static void choose(struct wf_type_in *in, struct wf_type_in sub[3], size_t which)
{
    in->typmod = sub[0].typmod = -1;
    if (which < 2 * wf_ntypes) {
        struct wf_type_in *row = which < wf_ntypes ? &sub[0] : in;

        in->kind = 'a';
        in->sub = sub;
        in->nsub = 1;
        row->kind = 'b';
        row->oid = wf_types[which % wf_ntypes].oid;
        row->name = wf_types[which % wf_ntypes].name;
        return;
    }
    in->kind = 'c';
    in->name = "pair";
    in->sub = sub;
    in->nsub = 3;
    sub[0] = texts;
    sub[1] = number;
    sub[2] = text;
    sub[2].field_name = "u";
}

static void convert(const struct wf_coltype *t, const unsigned char *data, size_t n)
{
    size_t room = t->room + n * t->room_per_byte;
    unsigned char *out = malloc(room), *end;
    char *copy = malloc(n ? n : 1);
    enum wf_conv_why why;

    if (!out || !copy)
        abort();
    if (n)
        memcpy(copy, data, n);
    end = t->conv(t, copy, n, out, &why);
    if (end && (size_t)(end - out) > room)
        abort();
    free(out);
    free(copy);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const struct wf_type_modes modes = {
        .hstore = WF_HSTORE_MAP, .unknown = true, .placeholder = WF_TOAST_PLACEHOLDER};
    struct wf_type_in sub[3] = {{0}}, in = {.modes = &modes}, whole = {0};
    struct wf_coltype t;

    if (!size)
        return 0;
    choose(&in, sub, data[0] % (2 * wf_ntypes + 2));
    whole = in;
    if (data[0] % (2 * wf_ntypes + 2) == 2 * wf_ntypes + 1) { /* an array of the composite */
        whole =
            (struct wf_type_in){.kind = 'a', .typmod = -1, .sub = &in, .nsub = 1, .modes = &modes};
    }
    wf_type_resolve(&t, &whole);
    convert(&t, data + 1, size - 1);
    wf_type_free(&t);
    return 0;
}
