/* The one place that names the decoders and sinks of this build. */
#ifndef WF_PLUGINS_H
#define WF_PLUGINS_H

#include "decoder.h"
#include "sink.h"

/* NULL-terminated. A new plugin is a line in plugins.c. */
extern const struct wf_decoder_ops *const wf_decoders[];
extern const struct wf_sink_ops *const wf_sinks[];

#endif
