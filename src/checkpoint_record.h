/* The checkpoint as a record of a topic: one line of JSON, for programs and for eyes. */
#ifndef WF_CHECKPOINT_RECORD_H
#define WF_CHECKPOINT_RECORD_H

#include "buf.h"
#include "checkpoint.h"

/**
 * wf_checkpoint_record() - append the record's value
 * @pipeline: its name, the record's key
 * @events:   of the transaction that holds the record
 * @writer:   who writes: a random word of the process
 */
void wf_checkpoint_record(struct wf_buf *out, const struct wf_checkpoint *cp, const char *pipeline,
                          uint64_t events, const char *writer);

/**
 * wf_checkpoint_parse() - read such a value
 * @data: [@data, @data+@len), untrusted
 * @cp:   out, state ACTIVE
 *
 * Return: WF_OK, or a refusal that says what is wrong: nobody guesses a position.
 */
enum wf_rc wf_checkpoint_parse(const void *data, size_t len, struct wf_checkpoint *cp,
                               struct wf_err *err);

#endif
