/* What the topics were like when walferry began to publish there: another one is refused. */
#ifndef WF_KAFKA_PINS_H
#define WF_KAFKA_PINS_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

#define WF_PIN_ID 32    /* bytes of a topic's id in base64, with its NUL */
#define WF_PIN_NAME 250 /* bytes of a topic's name, with its NUL */
#define WF_PINS_MAX 65536

struct wf_kafka_pin {
    struct wf_kafka_pin *next;
    int partitions;     /* 0 = forgotten, -1 = what is stored is damaged */
    char id[WF_PIN_ID]; /* "" = the brokers told none */
    char name[WF_PIN_NAME];
    bool kept;           /* stored where a restart finds it */
    uint64_t missing_us; /* since then the brokers say that there is no such topic; 0 = there is */
};

struct wf_kafka_pins {
    struct wf_kafka_pin *first, **last;
    unsigned n;
    char *dir; /* of the file; NULL = there is none */
};

/* @dir: the state directory, or NULL. NULL when memory is out. */
struct wf_kafka_pins *wf_kafka_pins_new(const char *dir);
void wf_kafka_pins_free(struct wf_kafka_pins *p);
void wf_kafka_pins_clear(struct wf_kafka_pins *p);

/* The pin of a topic, or NULL. */
struct wf_kafka_pin *wf_kafka_pins_find(const struct wf_kafka_pins *p, const char *topic);
/* Pin a topic, or pin it anew; not kept yet. @partitions 0 forgets it. NULL: out of memory, or over
 * WF_PINS_MAX. */
struct wf_kafka_pin *wf_kafka_pins_put(struct wf_kafka_pins *p, const char *topic, int partitions,
                                       const char *id);
/* Whether what is stored of any is damaged: a refusal. */
enum wf_rc wf_kafka_pins_sound(const struct wf_kafka_pins *p, struct wf_err *err);
/* Whether all are kept; say so, or the opposite. */
bool wf_kafka_pins_kept(const struct wf_kafka_pins *p);
void wf_kafka_pins_keep(struct wf_kafka_pins *p, bool kept);

/**
 * wf_kafka_pin_check() - compare a topic with its pin
 *
 * Return: WF_OK; a refusal with both states and the cure; WF_AGAIN when a broker that is behind may
 * be speaking.
 */
enum wf_rc wf_kafka_pin_check(const struct wf_kafka_pin *pin, int partitions, const char *id,
                              struct wf_err *err);
/* The refusal of a topic that is gone. */
enum wf_rc wf_kafka_pin_gone(const struct wf_kafka_pin *pin, struct wf_err *err);

/* Append a pin as one line of JSON, without the newline. */
void wf_kafka_pin_record(struct wf_buf *out, const struct wf_kafka_pin *pin);
/* Read such a line of [@data, @data+@len), untrusted. Return: WF_OK or a refusal. */
enum wf_rc wf_kafka_pin_parse(const void *data, size_t len, struct wf_kafka_pin *out,
                              struct wf_err *err);

/* The file "topics": put one together, write it durably (blocks; from any thread), read it. A
 * damaged one is a refusal, a missing one is empty. */
void wf_kafka_pins_text(const struct wf_kafka_pins *p, struct wf_buf *out);
enum wf_rc wf_kafka_pins_take(struct wf_kafka_pins *p, const void *text, size_t len,
                              struct wf_err *err);
enum wf_rc wf_kafka_pins_write(const char *dir, const struct wf_buf *text, struct wf_err *err);
enum wf_rc wf_kafka_pins_load(struct wf_kafka_pins *p, struct wf_err *err);

#endif
