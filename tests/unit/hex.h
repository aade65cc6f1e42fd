/* Wire bytes written as people read them: hex digits, 'quoted text', blanks anywhere. */
#ifndef TESTS_HEX_H
#define TESTS_HEX_H

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    char *data; /* exactly len bytes of heap, so that a sanitizer sees every read past the end */
    size_t len;
};

static inline int hex_digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* "49 00004001 'N' 0001 74 00000002 'hi'". The caller frees data; a malformed text aborts. */
static inline struct bytes hex(const char *text)
{
    struct bytes b = {.data = malloc(strlen(text) + 1)};

    while (*text) {
        if (isspace((unsigned char)*text)) {
            text++;
        } else if (*text == '\'') {
            for (text++; *text != '\''; text++)
                b.data[b.len++] = *text;
            text++;
        } else if (isxdigit((unsigned char)text[0]) && isxdigit((unsigned char)text[1])) {
            b.data[b.len++] = (char)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
            text += 2;
        } else {
            fprintf(stderr, "hex: cannot read \"%s\"\n", text);
            abort();
        }
    }
    b.data = realloc(b.data, b.len ? b.len : 1);
    return b;
}

#endif
