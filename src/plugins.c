#include "plugins.h"

extern const struct wf_decoder_ops wf_decoder_pgoutput, wf_decoder_wal2json;

const struct wf_decoder_ops *const wf_decoders[] = {
    &wf_decoder_pgoutput, /* the first is the default */
    &wf_decoder_wal2json,
    NULL,
};

extern const struct wf_sink_ops wf_sink_file, wf_sink_kafka, wf_sink_kinesis, wf_sink_firehose,
    wf_sink_stdout, wf_sink_null;

const struct wf_sink_ops *const wf_sinks[] = {
    &wf_sink_file, /* the first is the default */
    &wf_sink_kafka, &wf_sink_kinesis, &wf_sink_firehose, &wf_sink_stdout, &wf_sink_null, NULL,
};
